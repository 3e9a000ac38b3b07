"""The help texts and docs/cli.md, held to the commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperCommand, TyperGroup

from sidegate.cli import main
from sidegate.cli.outcome import MEANINGS, Exit
from sidegate.cli.reference import reference
from tests.support.command_line import RUNNER

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"

EXPECTED = {
    "account": {"create", "get", "list", "create-project"},
    "key": {"create", "list", "rotate", "revoke"},
    "credential": {"create", "list", "revoke"},
    "vpc": {"create", "get", "list", "update", "delete", "resolver set", "resolver delete"},
    "subnet": {"create", "get", "list", "update", "delete"},
    "port": {"create", "get", "list", "delete"},
    "attachment": {"create", "get", "list", "delete"} | {"set-default", "list-defaults", "delete-default"},
    "service": {"watch", "create", "get", "list", "update", "drain", "undrain", "weigh", "verify-name"}
    | {"permit", "forbid", "lookup", "list-platform", "delete", "health", "traffic"},
    "connection": {"get", "list", "watch", "accept", "reject", "note"} | {"accept-all", "reject-all", "test"},
    "endpoint": {"create", "get", "list", "test", "trace", "traffic", "watch", "update", "delete"},
    "gateway": {"list", "show", "status", "traffic", "trace", "flows", "capture"},
    "route-table": {"create", "get", "list", "update", "delete"},
    "health": {""},
    "replay": {""},
    "topology": {""},
    "whoami": {""},
    "audit": {"follow", "list", "refused", "head", "key", "verify", "export", "replay"},
}


def commands() -> Iterator[tuple[str, str, TyperCommand]]:
    """Noun, verb (empty where a verb stands alone) and command."""
    for noun, group in typer.main.get_group(main.app).commands.items():
        if isinstance(group, TyperCommand):
            yield noun, "", group
            continue
        assert isinstance(group, TyperGroup)
        yield from ((noun, verb, command) for verb, command in verbs(group))


def verbs(group: TyperGroup) -> Iterator[tuple[str, TyperCommand]]:
    """Those of a noun, and of what is below it: "resolver set"."""
    for verb, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from ((f"{verb} {below}", each) for below, each in verbs(command))
            continue
        assert isinstance(command, TyperCommand)
        yield verb, command


COMMANDS = [(noun, verb) for noun, verb, _ in commands()]


def test_every_noun_has_its_verbs() -> None:
    assert {noun: {verb for each, verb in COMMANDS if each == noun} for noun in EXPECTED} == EXPECTED
    assert {noun for noun, _ in COMMANDS} == set(EXPECTED)


@pytest.mark.parametrize(("noun", "verb"), COMMANDS)
def test_every_help_text_says_what_and_shows_how(noun: str, verb: str) -> None:
    done = RUNNER.invoke(main.app, [noun, *verb.split(), "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    said, _, examples = done.stdout.partition("Examples")
    assert any(line.strip().endswith(".") for line in said.splitlines())
    shown = [line.strip() for line in examples.splitlines() if line.strip()]
    assert shown
    assert all(line.startswith("$ sidegate ") and f" {noun} {verb}".rstrip() in line for line in shown)


@pytest.mark.parametrize(("noun", "verb", "command"), list(commands()))
def test_every_option_and_argument_says_what_it_is_for(noun: str, verb: str, command: TyperCommand) -> None:
    unexplained = [parameter.name for parameter in command.params if not getattr(parameter, "help", "")]
    assert unexplained == []


@pytest.mark.parametrize(("noun", "verb", "command"), list(commands()))
def test_every_example_is_a_command_line_that_can_be_read(noun: str, verb: str, command: TyperCommand) -> None:
    for example in (command.epilog or "").splitlines()[1:]:
        _, _, arguments = example.replace("\\[", "[").partition(f" {noun} {verb}".rstrip())
        words = [word.strip("'") for word in arguments.split()]
        with command.make_context(verb or noun, words, resilient_parsing=False, obj=None) as context:
            assert context.params


def test_the_help_names_the_exit_codes() -> None:
    said = RUNNER.invoke(main.app, ["--help"], env={"COLUMNS": "200"}).stdout
    for code, meaning in MEANINGS.items():
        assert f"{code.value}  {meaning}" in said
    assert set(MEANINGS) == set(Exit)


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text() == reference(), "run: python -m sidegate.cli.reference > docs/cli.md"


@pytest.mark.parametrize(("noun", "verb"), COMMANDS)
def test_every_command_is_on_the_page(noun: str, verb: str) -> None:
    assert f"\n### {' '.join(filter(None, ('sidegate', noun, verb)))}\n" in PAGE.read_text()
