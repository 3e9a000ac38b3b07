"""`make scenario`, as a person watches it: what there is, what a program reads of it, and Ctrl-C in the middle."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.standalone import ROOT, require_root, until
from tests.system.scenarios.catalogue import SCENARIOS

COMMAND = (sys.executable, "-m", "tests.system.scenarios")


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short name: that of a unix socket has 107 letters."""
    with tempfile.TemporaryDirectory(prefix="sgw-") as directory:
        yield Path(directory)


def asked(*arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*prefix, *COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_scenarios_are_listed_and_one_that_is_not_there_is_refused_with_those_that_are() -> None:
    listed = asked("list")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(SCENARIOS)
    done = asked("run", "four-vpcs")
    assert (done.returncode, "three-vpcs" in done.stderr) == (2, True)


def test_without_root_a_scenario_says_what_it_needs() -> None:
    done = asked("run", "three-vpcs", prefix=("unshare", "--user"))
    assert (done.returncode, "needs root" in done.stderr, done.stdout) == (2, True, "")


@pytest.mark.root
@pytest.mark.timeout(240)
async def test_ctrl_c_in_the_middle_leaves_nothing_behind_and_tells_how_far_it_was(short: Path, tmp_path: Path) -> None:
    """That nothing is left is looked for at the end of the run: namespaces, devices, mounts and processes of it."""
    require_root()
    told, progress = tmp_path / "told.json", tmp_path / "progress"
    with told.open("w") as out, progress.open("w") as err:
        environment = {**os.environ, "TMPDIR": str(short)}
        command = [*COMMAND, "run", "two-accounts", "--json"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err, env=environment, start_new_session=True)

    async def at_its_third_step() -> bool:
        assert process.poll() is None, progress.read_text()
        return "\n3. " in progress.read_text()

    try:
        await until("the third step", at_its_third_step, 120)
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 130, progress.read_text()
    finally:
        process.kill()
        process.wait()
    document = json.loads(told.read_text())
    assert (document["name"], document["ok"], len(document["steps"]) >= 3) == ("two-accounts", False, True)
    assert "stopped; nothing is left behind" in progress.read_text()
    assert list(short.iterdir()) == []
