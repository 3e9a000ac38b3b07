"""A gateway agent that is told to stop: what is pinned stays for its successor, or goes where nobody will come."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import identity, namespaces

pytestmark = pytest.mark.root

SECONDS = 30.0
NOWHERE = "127.0.0.1:9"  # neither NATS nor an endpoint service is needed to stop


def run_and_stop(directory: Path, *arguments: str) -> Path:
    """Runs an agent until it serves, stops it, and tells where its pins are, or were."""
    gateway_id = f"{namespaces.PREFIX}-stop"
    bpffs, ready = directory / "bpf", directory / "ready"
    command = [
        *(sys.executable, "-m", "services.gateway_agent", "--gateway-id", gateway_id, "--bpffs", str(bpffs)),
        *("--tls", str(identity.directory_of_gateway("default", gateway_id))),
        *("--socket", str(directory / "socket"), "--ready-file", str(ready), "--endpoint-address", NOWHERE),
    ]
    environment = {**os.environ, "SIDEGATE_NATS_URL": f"nats://{NOWHERE}"}
    agent = subprocess.Popen([*command, *arguments], env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_for(ready, agent)
        assert json.loads(ready.read_text())["pid"] == agent.pid
        assert any((bpffs / "sidegate" / gateway_id).iterdir())
        agent.terminate()
        assert agent.wait(SECONDS) == 0
        return bpffs / "sidegate" / gateway_id
    finally:
        agent.kill()
        agent.wait()
        if "--uninstall-on-stop" not in arguments:
            assert (bpffs / "sidegate" / gateway_id).exists(), "pins outlive the agent"
            subprocess.run([*command, "--uninstall"], env=environment, check=True)


def wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_pinned_outlives_the_agent_and_can_be_uninstalled(tmp_path: Path) -> None:
    assert not run_and_stop(tmp_path).exists()


def test_an_agent_told_to_uninstall_on_stop_leaves_nothing_in_the_kernel(tmp_path: Path) -> None:
    assert not run_and_stop(tmp_path, "--uninstall-on-stop").exists()
    assert not (tmp_path / "bpf").is_mount()
