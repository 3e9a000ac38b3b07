"""The command line as a program of its own: exit codes, pipes, terminals, no traceback."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate

PROGRAM = str(Path(sys.executable).with_name("sidegate"))
LIMIT_SECONDS = 30.0


def environment(**more: str) -> dict[str, str]:
    """This one's, without what would change how a program prints."""
    left_out = ("SIDEGATE_", "FORCE_COLOR", "NO_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "COLUMNS")
    return {key: value for key, value in os.environ.items() if not key.startswith(left_out)} | more


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments],
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )


def test_it_answers_says_no_and_complains_by_exit_code(fake: FakeSidegate, tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path))
    made = run(*data, "vpc", "create", "shop", "--cidr", "10.0.0.0/24", "-o", "json")
    assert (made.returncode, made.stderr) == (0, "")
    assert json.loads(made.stdout)["name"] == "shop"
    assert run(*data, "vpc", "get", "nothing").returncode == 3
    assert run(*data, "vpc", "got").returncode == 2
    assert run("--data-dir", str(tmp_path / "nothing"), "vpc", "list").returncode == 5


def test_there_are_no_colours_in_a_pipe(fake: FakeSidegate, tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path))
    CommandLine(fake).answer("vpc", "create", "shop", "--cidr", "10.0.0.0/24")
    for arguments in (("vpc", "list"), ("vpc", "get", "nothing"), ("vpc", "--help")):
        done = run(*data, *arguments, TERM="xterm-256color")
        assert "\x1b" not in done.stdout + done.stderr


def on_a_terminal(*arguments: str) -> str:
    """What a person would see who runs it."""
    own, its = pty.openpty()
    shown = environment(TERM="xterm-256color", COLUMNS="120")
    process = subprocess.Popen([PROGRAM, *arguments], env=shown, stdin=its, stdout=its, stderr=its)
    os.close(its)
    seen, deadline = b"", time.monotonic() + LIMIT_SECONDS
    try:
        while time.monotonic() < deadline and select.select([own], [], [], deadline - time.monotonic())[0]:
            seen += os.read(own, 65536)
    except OSError:
        process.wait(LIMIT_SECONDS)  # the terminal hangs up when its last program ends
    finally:
        process.kill()
        process.wait()
        os.close(own)
    return seen.decode()


def test_there_are_colours_and_word_of_what_takes_long_on_a_terminal(fake: FakeSidegate, tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path))
    cli = CommandLine(fake)
    cli.answer("vpc", "create", "shop", "--cidr", "10.0.0.0/24")
    cli.answer("subnet", "create", "front", "--vpc", "shop", "--cidr", "10.0.0.0/24")
    cli.answer("service", "create", "web", "--vpc", "shop", "--backend", "10.0.0.1", "--port", "80")
    assert "\x1b[1m" in on_a_terminal(*data, "service", "list")
    waiting = ("--wait", "--timeout", "1.5")
    seen = on_a_terminal(*data, "endpoint", "create", "--service", "web", "--subnet", "front", *waiting)
    assert "waiting: pendingAcceptance" in seen


@pytest.mark.parametrize(
    "arguments", [("vpc", "create", "\udcff", "--cidr", "x"), ("--project", "\udcff", "vpc", "list")]
)
def test_words_that_are_no_text_are_refused_without_a_traceback(
    fake: FakeSidegate, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run("--data-dir", str(tmp_path), *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert fake.script.calls == []


def test_a_reader_who_goes_away_early_is_no_fault(fake: FakeSidegate, tmp_path: Path) -> None:
    script = f'"{PROGRAM}" --data-dir "{tmp_path}" vpc list -o json | true'
    done = subprocess.run(
        ["bash", "-c", script], env=environment(), capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fault_of_ours_is_told_without_a_traceback(tmp_path: Path) -> None:
    broken = tmp_path / "sidegate_fault.py"
    broken.write_text(
        "import sys\n"
        "from sidegate.cli import config, main\n"
        "def fail(path):\n"
        "    raise LookupError('surprise')\n"
        "config.read = fail\n"
        "sys.argv = ['sidegate', 'vpc', 'list']\n"
        "main.run()\n"
    )
    command = [sys.executable, str(broken)]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS
    )
    assert done.returncode == 5
    assert done.stderr.startswith("sidegate: error: LookupError: surprise\nhint: ")
    shown = environment(SIDEGATE_TRACE="1")
    traced = subprocess.run(command, env=shown, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS)
    assert "Traceback" in traced.stderr


def test_it_says_its_version() -> None:
    done = run("--version")
    assert done.stdout.startswith("sidegate 0.")
    assert done.returncode == 0


def test_the_shell_can_complete_nouns_and_verbs() -> None:
    complete = {"_SIDEGATE_COMPLETE": "complete_bash", "COMP_WORDS": "sidegate vp", "COMP_CWORD": "1"}
    assert run(**complete).stdout.split() == ["vpc"]
    complete |= {"COMP_WORDS": "sidegate vpc ", "COMP_CWORD": "2"}
    assert run(**complete).stdout.split() == ["create", "get", "list", "update", "delete", "resolver"]
