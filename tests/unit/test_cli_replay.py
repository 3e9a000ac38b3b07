"""`sidegate replay`: one moment of the past shown, two of them compared."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from sidegate.api.endpoint.v1.endpoint_pb2 import CONNECTION_STATE_ACCEPTED, CONNECTION_STATE_CREATING, Endpoint
from sidegate.api.events.v1.forwarding_pb2 import EndpointForwarding, ForwardingEntry
from sidegate.api.events.v1.history_pb2 import ResourceState
from sidegate.api.registry.v1.vpc_pb2 import Vpc
from tests.support import fake_sidegate
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate

ONE, OTHER, SHOP = (str(UUID(int=number)) for number in (1, 2, 3))


def endpoint(id_: str, position: int, **fields: object) -> ResourceState:
    made = Endpoint(id=id_, **fields)  # type: ignore[arg-type] # whatever fields an endpoint has
    return ResourceState(kind="endpoint", id=id_, created_position=1, position=position, endpoint=made)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeSidegate]:
    with fake_sidegate.running(tmp_path) as running:
        vpc = ResourceState(kind="vpc", id=SHOP, created_position=1, position=1, vpc=Vpc(id=SHOP, name="shop"))
        running.registry_history.at = {1: [vpc]}
        creating = endpoint(ONE, 1, name="web", state=CONNECTION_STATE_CREATING, allowed_cidrs=["10.0.0.0/24"])
        accepted = endpoint(ONE, 3, name="web", state=CONNECTION_STATE_ACCEPTED, allowed_cidrs=["10.0.0.0/24"])
        running.endpoint_history.at = {1: [creating], 2: [creating, endpoint(OTHER, 2, name="db")], 3: [accepted]}
        yield running


@pytest.fixture
def cli(fake: FakeSidegate) -> CommandLine:
    return CommandLine(fake)


def test_a_resource_is_asked_of_the_log_that_owns_it_and_shown_whole(fake: FakeSidegate, cli: CommandLine) -> None:
    found = cli.answer("replay", "--at", "2", "--resource", f"endpoint/{ONE}")
    assert [(each["log"], each["position"]) for each in found["at"]] == [("endpoint", 2)]
    (told,) = found["resources"]
    assert (told["kind"], told["id"], told["resource"]["state"]) == ("endpoint", ONE, "creating")
    shown = cli.run("replay", "--resource", f"vpc/{SHOP}")
    assert "shop" in shown.stdout
    assert "registry log at position 1 (" in shown.stderr
    assert len(fake.registry_history.asked) == 1


def test_a_project_at_a_moment_is_what_both_logs_had_then(fake: FakeSidegate, cli: CommandLine) -> None:
    found = cli.answer("replay", "--at", "2023-11-14T22:13:22Z", "--project", "shop/default")  # two seconds after
    assert [(each["log"], each["position"]) for each in found["at"]] == [("registry", 1), ("endpoint", 2)]
    assert [each["id"] for each in found["resources"]] == [SHOP, ONE, OTHER]
    assert fake.registry_history.asked[0].owner == "shop/default"
    lines = cli.text("replay", "--at", "2023-11-14T22:13:22Z", "--project", "shop/default").splitlines()
    assert lines[0].split() == ["KIND", "ID", "WHAT", "MADE", "AT", "CHANGED", "AT"]
    assert "name web, state creating" in lines[2]


def test_two_moments_are_compared_field_by_field(cli: CommandLine) -> None:
    found = cli.answer("replay", "--diff", "2", "3", "--project", "shop/default", "--log", "endpoint", code=1)
    assert [found[side][0]["position"] for side in ("from", "to")] == [2, 3]
    assert [(each["id"], each["change"]) for each in found["changes"]] == [(ONE, "changed"), (OTHER, "gone")]
    changed = {"field": "state", "before": "creating", "after": "accepted"}
    assert found["changes"][0]["fields"] == [changed]
    assert {"field": "name", "before": "db", "after": None} in found["changes"][1]["fields"]
    lines = cli.text("replay", "--diff", "2", "3", "--project", "shop/default", "--log", "endpoint", code=1)
    assert [line.split() for line in lines.splitlines() if ONE in line] == [
        ["endpoint", ONE, "changed", "state", "creating", "accepted"]
    ]


def test_what_is_the_same_at_both_moments_is_said_to_be(cli: CommandLine) -> None:
    found = cli.answer("replay", "--diff", "1", "2", "--resource", f"endpoint/{ONE}")
    assert (found["equal"], found["changes"]) == (True, [])
    assert "nothing differs" in cli.text("replay", "--diff", "1", "2", "--resource", f"endpoint/{ONE}")


def test_a_cell_shows_its_forwarding_table(fake: FakeSidegate, cli: CommandLine) -> None:
    entry = ForwardingEntry(endpoint=EndpointForwarding(endpoint_id=ONE, address="10.0.0.5", generation=2))
    fake.endpoint_history.at = {4: [ResourceState(kind="endpoint", id=ONE, position=4, entry=entry)]}
    found = cli.answer("replay", "--cell", "default")
    assert found["resources"][0]["resource"]["address"] == "10.0.0.5"
    assert "address 10.0.0.5" in cli.text("replay", "--cell", "default")
    assert cli.text("replay", "--at", "3", "--cell", "default") == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--at", "1"], 2, "of what?"),
        (["--at", "1", "--project", "a/b", "--cell", "c"], 2, "of what?"),
        (["--at", "1", "--project", "a/b"], 2, "a position is one of one log"),
        (["--at", "1", "--diff", "1", "2", "--cell", "c"], 2, "give one of them"),
        (["--diff", "1", "now", "--cell", "c"], 2, "is no moment"),
        (["--resource", "endpoint/web"], 2, "is not KIND/ID"),
        (["--log", "registry", "--resource", f"endpoint/{ONE}"], 2, "that is in the endpoint log"),
        (["--at", "1", "--resource", f"endpoint/{OTHER}"], 3, "was not there: endpoint log at position 1"),
    ],
)
def test_what_cannot_be_answered_is_said_with_the_way_out(
    cli: CommandLine, arguments: list[str], code: int, said: str
) -> None:
    error = " ".join(cli.error("replay", *arguments, code=code).replace("│", " ").split())
    assert said in error
