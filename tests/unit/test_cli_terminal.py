"""The command line as a person has it: pages, widths, colours, and a shell that completes."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.status import Status

from sidegate.cli.session import Session, Settings
from sidegate.cli.view import Output
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate
from tests.support.terminal import LIMIT_SECONDS, seen_on_a_terminal

PROGRAM = str(Path(sys.executable).with_name("sidegate"))
MANY = 40


def environment(**more: str) -> dict[str, str]:
    left_out = (
        "SIDEGATE_",
        "FORCE_COLOR",
        "NO_COLOR",
        "GITHUB_ACTIONS",
        "PY_COLORS",
        "COLUMNS",
        "LINES",
        "PAGER",
        "LESS",
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    return kept | {"TERM": "xterm-256color"} | more


def vpcs(fake: FakeSidegate, count: int) -> list[str]:
    """Ids of so many VPCs, vpc-00 and so on."""

    async def make() -> list[str]:
        async with fake.client() as sidegate:
            return [(await sidegate.vpcs.create(f"vpc-{each:02}", ["10.0.0.0/24"])).id for each in range(count)]

    return asyncio.run(make())


def show(tmp_path: Path, *arguments: str, size: tuple[int, int] = (120, 40), **more: str) -> str:
    """What is seen on a terminal of so many columns and lines."""
    command = [PROGRAM, "--data-dir", str(tmp_path), *arguments]
    columns, lines = size
    return seen_on_a_terminal(command, environment(**more), columns=columns, lines=lines)


@pytest.fixture
def pager(tmp_path: Path) -> dict[str, str]:
    """A pager that says that it was there, and how less would behave."""
    script = tmp_path / "pager"
    script.write_text('#!/bin/sh\necho "PAGED $LESS"\ncat\n')
    script.chmod(0o755)
    return {"PAGER": str(script)}


def test_what_is_longer_than_the_terminal_is_paged_and_what_fits_is_not(
    fake: FakeSidegate, tmp_path: Path, pager: dict[str, str]
) -> None:
    ids = vpcs(fake, MANY)
    paged = show(tmp_path, "vpc", "list", size=(120, 20), **pager)
    assert "PAGED FRX" in paged
    assert all(id in paged for id in ids)
    assert "\x1b[1m" in paged, "colours survive"
    assert "PAGED" not in show(tmp_path, "vpc", "list", size=(120, MANY + 5), **pager)
    assert "PAGED" not in show(tmp_path, "--no-pager", "vpc", "list", size=(120, 20), **pager)
    piped = subprocess.run(
        [PROGRAM, "--data-dir", str(tmp_path), "vpc", "list"], env=environment(**pager), capture_output=True, text=True,
        check=True, timeout=LIMIT_SECONDS,
    )  # fmt: skip
    assert "PAGED" not in piped.stdout
    assert piped.stdout.count("\n") == MANY + 1


def test_a_pager_that_is_not_there_hides_nothing_and_none_is_none(fake: FakeSidegate, tmp_path: Path) -> None:
    ids = vpcs(fake, 5)
    for wanted in ("no-such-pager", "cat"):
        assert all(id in show(tmp_path, "vpc", "list", size=(120, 4), PAGER=wanted) for id in ids)
    assert "PAGED" in show(tmp_path, "vpc", "list", size=(120, 4), PAGER="cat", SIDEGATE_PAGER="echo PAGED; cat")


def test_less_where_it_is_shows_the_first_screen_and_goes_when_it_is_told_to(
    fake: FakeSidegate, tmp_path: Path
) -> None:
    vpcs(fake, MANY)
    command = [PROGRAM, "--data-dir", str(tmp_path), "vpc", "list"]
    seen = seen_on_a_terminal(command, environment(), lines=20, keys={"vpc-10": b"q"})
    assert "vpc-10" in seen
    assert (f"vpc-{MANY - 1}" in seen) == (shutil.which("less") is None)


@pytest.mark.parametrize(("columns", "is_table"), [(50, False), (80, True)])
def test_output_fits_the_terminal_and_never_breaks_an_id(
    fake: FakeSidegate, tmp_path: Path, columns: int, is_table: bool
) -> None:
    ids = vpcs(fake, 3)
    seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", show(tmp_path, "vpc", "list", size=(columns, 40))).splitlines()
    assert all(any(id in line for line in seen) for id in ids), "whole, on one line"
    assert max(map(len, seen)) <= columns
    assert (seen[0].split() == ["ID", "NAME", "CIDRS", "CREATED"]) == is_table, "or a sheet for each"


def test_there_are_no_colours_where_nobody_wants_them(fake: FakeSidegate, tmp_path: Path) -> None:
    vpcs(fake, 1)
    service = ("service", "create", "web", "--vpc", "vpc-00", "--backend", "10.0.0.1", "--port", "80")
    assert "\x1b[3" in show(tmp_path, *service), "a state has a colour"
    assert "\x1b[3" not in show(tmp_path, "service", "list", NO_COLOR="1")


COMPLETE = """
source "$1"
COMP_WORDS=("${@:2}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$(complete -p sidegate | sed 's/.*-F \\([^ ]*\\).*/\\1/') sidegate
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completions(script: Path, *words: str, **more: str) -> list[str]:
    """What bash offers for the last word, by the script that was installed."""
    path = f"{Path(PROGRAM).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", str(script), "sidegate", *words],
        env=environment(PATH=path, **more), capture_output=True, text=True, check=True, timeout=LIMIT_SECONDS,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The script that `sidegate --install-completion` writes for bash."""
    home = tmp_path / "home"
    home.mkdir()
    install = (
        f'"{PROGRAM}" --install-completion; true'  # two commands, so that bash stays the parent that is looked for
    )
    subprocess.run(["bash", "-c", install], env=environment(HOME=str(home)), check=True, timeout=LIMIT_SECONDS)
    installed = home / ".bash_completions" / "sidegate.sh"
    assert str(installed) in (home / ".bashrc").read_text()
    return installed


def test_bash_completes_verbs_names_and_ids_of_a_live_sidegate(
    fake: FakeSidegate, tmp_path: Path, script: Path
) -> None:
    [id, _] = vpcs(fake, 2)
    cli = CommandLine(fake)
    cli.answer("subnet", "create", "front", "--vpc", "vpc-00", "--cidr", "10.0.0.0/24")
    cli.answer("service", "create", "web", "--vpc", "vpc-00", "--backend", "10.0.0.1", "--port", "80")
    data = ("--data-dir", str(tmp_path))
    assert "permit" in completions(script, "service", "")
    assert completions(script, *data, "service", "get", "") == ["web"]
    assert completions(script, *data, "vpc", "get", "vpc-0") == ["vpc-00", "vpc-01"]
    assert completions(script, *data, "vpc", "get", id[:8]) == [id]
    assert completions(script, *data, "endpoint", "create", "--subnet", "") == ["front"]
    made = cli.answer("endpoint", "create", "--service", "web", "--subnet", "front")
    assert completions(script, *data, "connection", "accept", "web", "") == [made["id"]]
    assert completions(script, "service", "update", "web", "--health-check", "") == ["tcp", "http"]
    assert completions(script, "service", "update", "web", "--affinity", "s") == ["source-address"]


def test_where_no_sidegate_answers_nothing_is_offered_and_nothing_is_said(script: Path, tmp_path: Path) -> None:
    assert completions(script, "--data-dir", str(tmp_path / "nothing"), "service", "get", "") == []
    (tmp_path / "ready.json").write_text('{"registry": {"grpc": "127.0.0.1:9"}}')
    assert completions(script, "--data-dir", str(tmp_path), "service", "get", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_every_shell(shell: str) -> None:
    done = subprocess.run(
        [PROGRAM], env=environment(_SIDEGATE_COMPLETE=f"source_{shell}"), capture_output=True, text=True, check=False,
        timeout=LIMIT_SECONDS,
    )  # fmt: skip
    assert "_SIDEGATE_COMPLETE" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True, timeout=LIMIT_SECONDS)


def test_what_takes_long_says_how_far_it_is() -> None:
    status = Status("...", console=Console(file=StringIO(), force_terminal=True, width=80))
    session = Session(Settings("operator", "default", Output.TABLE), status)
    session.progress("verifying registry", 1500, 3000)
    assert status.status == "verifying registry: 1,500 of 3,000, 50% ..."
