"""The story of `make demo`, told to the end, with nothing left behind."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.standalone import ROOT, require_root, until


def ours() -> set[str]:
    """Namespaces, devices of gateways, mounts of BPF file systems and processes of a demo that are there now.

    Devices of gateways whose agents run are another test's.
    """
    names = {path.name for path in Path("/run/netns").glob("*")} & {"shop", "payments"}
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    agents = subprocess.run(["pgrep", "-af", "gateway_agent"], capture_output=True, text=True, check=False).stdout
    links_and_gateways = re.findall(r"^\d+: (\S+): .*sidegate/([^/\s]+)/", links, re.MULTILINE)
    devices = {link for link, gateway in links_and_gateways if f"--gateway-id {gateway} " not in agents}
    mounts = {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if "sidegate-demo" in line}
    processes = set(
        subprocess.run(["pgrep", "-f", "sidegate-demo"], capture_output=True, text=True, check=False).stdout.split()
    )
    return names | devices | mounts | processes


@pytest.mark.root
@pytest.mark.timeout(300)
async def test_the_demo_tells_its_story_and_leaves_nothing_behind() -> None:
    require_root()
    before = ours()
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

    async def nothing_is_left() -> bool:
        return not ours() - before

    # The kernel takes a deleted namespace's devices away a moment later.
    await until(f"{ours() - before} to be gone", nothing_is_left)
