"""What every test has: a look, at the very end, for anything that was left behind."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE_SECONDS = 10.0


def things_of_ours() -> set[str]:
    """Namespaces, gateways' devices, BPF file systems and programs that are there now."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=False).stdout.splitlines()
    return {
        *(f"network namespace {path.name}" for path in Path("/run/netns").glob("*")),
        *(f"device {line.split(':')[1].strip()}" for line in links if "alias sidegate/" in line),
        *(f"mount {line.split()[1]}" for line in Path("/proc/mounts").read_text().splitlines() if " bpf " in line),
        *(f"process {described}" for described in programs_of_ours()),
    }


def programs_of_ours() -> Iterator[str]:
    """Processes, by id and command, that are servers or programs of Sidegate."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_text().replace("\0", " ")
        except OSError:
            continue
        if ("nats-server" in command or "-m services." in command) and path.parent.name != str(os.getpid()):
            yield f"{path.parent.name} {command.strip()}"


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fails the last test of the run where something of ours is still there after ten seconds."""
    before = things_of_ours()
    yield
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := things_of_ours() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == set()
