"""--dry-run and --etag: in the request of every verb that changes something."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import typer.main

from sidegate import conditions, errors
from sidegate.api.registry.v1 import registry_service_pb2
from sidegate.cli.main import app
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate

READING = ("get", "health", "list", "list-defaults", "list-platform", "lookup", "test", "trace", "traffic", "watch")
NO_ETAG = ("create", "drain", "undrain", "weigh", "accept-all", "reject-all")
ELSEWHERE = ("gateway", "audit")
"""Nouns of what is only read."""


@pytest.fixture
def cli(fake: FakeSidegate) -> CommandLine:
    return CommandLine(fake)


def options_of_writes() -> Iterator[tuple[str, str, Sequence[str]]]:
    commands: Any = typer.main.get_command(app)
    for noun, group in commands.commands.items():
        if noun not in ELSEWHERE and hasattr(group, "commands"):
            for verb, command in verbs_of(group):
                if verb not in READING:
                    yield noun, verb, [name for option in command.params for name in option.opts]


def verbs_of(group: Any) -> Iterator[tuple[str, Any]]:
    """Those of a noun, and of what is below it: the resolver of a VPC is set and deleted."""
    for verb, command in group.commands.items():
        yield from verbs_of(command) if hasattr(command, "commands") else [(verb, command)]


@pytest.mark.parametrize(("noun", "verb", "options"), list(options_of_writes()), ids=lambda each: str(each)[:20])
def test_every_verb_that_changes_something_can_be_tried_and_bound(noun: str, verb: str, options: Sequence[str]) -> None:
    assert "--dry-run" in options
    fixed = noun in ("port", "attachment") and verb == "delete"
    assert ("--etag" in options) == (verb not in NO_ETAG and not fixed)


def test_what_is_said_before_a_write_is_in_its_request(fake: FakeSidegate, cli: CommandLine) -> None:
    made = cli.answer("vpc", "create", "shop", "--cidr", "10.0.0.0/24")
    done = cli.run("vpc", "delete", made["id"], "--dry-run", "--etag", "7")
    assert done.exit_code == 0
    assert conditions.current() == conditions.NONE
    (asked,) = fake.registry.deletions
    assert (asked.validate_only, asked.etag) == (True, "7")
    assert "only validated: nothing was changed" in done.stderr


def test_an_etag_goes_to_the_resource_of_a_change_and_is_refused_where_there_is_none() -> None:
    change = registry_service_pb2.UpdateSubnetRequest()
    change.subnet.id = "x"
    creation = registry_service_pb2.CreatePortRequest()
    creation.port.holder = "machine/x"
    with conditions.under(etag="3"):
        conditions.impose(change)
        with pytest.raises(errors.InvalidRequest, match="CreatePortRequest takes no etag"):
            conditions.impose(creation)
    assert change.subnet.etag == "3"


def test_nobody_waits_for_what_is_only_tried(cli: CommandLine) -> None:
    vpc = cli.answer("vpc", "create", "shop", "--cidr", "10.0.0.0/24")
    subnet = cli.answer("subnet", "create", "front", "--vpc", vpc["id"], "--cidr", "10.0.0.0/24")
    service = cli.answer("service", "create", "web", "--vpc", vpc["id"], "--backend", "10.0.0.10", "--port", "80")
    said = cli.error(
        *("endpoint", "create", "--service", service["full_name"], "--subnet", subnet["id"], "--dry-run", "--wait"),
        code=2,
    )
    assert "leave out --wait" in said
