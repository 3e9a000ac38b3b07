"""What a user without root gets: the whole control plane, and a sentence about the rest."""

import subprocess
import sys
from pathlib import Path

from tests.support.standalone import ROOT, Standalone, until


async def test_without_root_standalone_runs_the_control_plane_and_says_so(tmp_path: Path) -> None:
    async with Standalone(tmp_path, rootless=True) as sidegate:
        assert sidegate.ready["gateway"] is None

        async def is_said() -> bool:
            return "not root" in sidegate.output

        await until("standalone to say why there is no gateway", is_said)
        vpc = sidegate.answer("vpc", "create", "shop", "--cidr", "10.0.0.0/24", account="shop")
        assert sidegate.answer("vpc", "list", account="shop") == [vpc]
        shown = sidegate.cli("gateway", "show")
        assert shown.returncode == 5
        assert "root" in shown.stderr


def test_without_root_the_demo_says_in_one_sentence_what_it_needs() -> None:
    command = ["unshare", "--user", sys.executable, "-m", "services.standalone.demo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "needs root" in said
    assert len(said.strip().splitlines()) == 1
