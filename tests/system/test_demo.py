"""The story of `make demo`, told to the end, with nothing left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.standalone import ROOT, require_root


def left_behind() -> tuple[set[str], set[str], set[str]]:
    """Namespaces, devices of gateways, and mounts of BPF file systems."""
    names = {path.name for path in Path("/run/netns").glob("*")} & {"shop", "payments"}
    devices = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    ours = {line.split(":")[1].strip() for line in devices.splitlines() if "sidegate/" in line}
    mounts = {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if "sidegate-demo" in line}
    return names, ours, mounts


@pytest.mark.root
@pytest.mark.timeout(300)
def test_the_demo_tells_its_story_and_leaves_nothing_behind() -> None:
    require_root()
    before = left_behind()
    done = subprocess.run(
        [sys.executable, "-m", "services.standalone.demo"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (
        "pendingAcceptance",
        "a connection attempt timed out",
        "ms from the accept call to the first HTTP response",
        "198.19.128.0/17",
        "300,000,000 bytes arrived",
        "equal to the kernel's",
        "chain verified",
        "verification names position",
    ):
        assert words in done.stdout
    assert left_behind() == before
