"""The kernel's verifier accepts the program, and does not have to look at too much of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.gateway_agent.dataplane.build import BPF, FLAGS, OBJECTS, build
from services.gateway_agent.dataplane.libbpf import BpfError
from services.gateway_agent.dataplane.verification import verify

pytestmark = pytest.mark.root

MOST_PROCESSED = 200_000
"""A fifth of what the kernel allows: other kernels' verifiers prune other states, and must accept it as well."""

REFUSED = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc") int reads_anywhere(struct __sk_buff *skb)
{
	return *(volatile int *)(long)skb->data;
}

char _license[] SEC("license") = "GPL";
"""


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_every_program_is_accepted_with_room_to_spare(path: Path) -> None:
    build()
    verdicts = verify(path)
    assert "forward" in {verdict.program for verdict in verdicts}
    for verdict in verdicts:
        print(verdict)
        assert 0 < verdict.processed < MOST_PROCESSED
        assert 0 < verdict.instructions <= verdict.processed


def test_a_program_that_is_refused_is_told_with_the_verifiers_reason(tmp_path: Path) -> None:
    source, compiled = tmp_path / "refused.c", tmp_path / "refused.o"
    source.write_text(REFUSED)
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-c", str(source), "-o", str(compiled)]
    subprocess.run(command, cwd=BPF, check=True)
    with pytest.raises(BpfError, match="invalid access to packet"):
        verify(compiled)


def test_what_is_no_object_is_told() -> None:
    with pytest.raises(BpfError, match=r"opening .*maps\.h"):
        verify(BPF / "maps.h")
