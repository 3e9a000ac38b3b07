"""Answers as JSON and as tables."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.endpoint.v1.endpoint_pb2 import Condition, ConnectionState, Endpoint
from sidegate.api.events.v1.forwarding_pb2 import BackendForwarding
from sidegate.api.events.v1.log_pb2 import LogRecord
from sidegate.api.gateway.v1.gateway_service_pb2 import GetStatusResponse
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService, PortMapping
from sidegate.api.registry.v1.vpc_pb2 import Attachment, NetnsTarget, Vpc
from sidegate.cli import facts, parsing, tables, words
from sidegate.cli.identities import IDENTITIES, Identity
from sidegate.cli.view import Output, View, show
from tests.support import fake_sidegate
from tests.support.command_line import CommandLine

STATES = {
    "CONNECTION_STATE_UNSPECIFIED": "unspecified",
    "CONNECTION_STATE_PENDING_ACCEPTANCE": "pendingAcceptance",
    "CONNECTION_STATE_CREATING": "creating",
    "CONNECTION_STATE_ACCEPTED": "accepted",
    "CONNECTION_STATE_REJECTED": "rejected",
    "CONNECTION_STATE_FAILED": "failed",
    "CONNECTION_STATE_DELETING": "deleting",
    "CONNECTION_STATE_DELETED": "deleted",
}


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with fake_sidegate.running(tmp_path) as running:
        yield CommandLine(running)


def test_every_state_is_a_word() -> None:
    descriptor = ConnectionState.DESCRIPTOR
    assert {name: facts.word(descriptor, number) for name, number in ConnectionState.items()} == STATES


def test_a_state_of_a_later_version_is_its_number() -> None:
    assert facts.of(Endpoint(state=99))["state"] == "99"  # type: ignore[arg-type] # no constant has this value


def test_a_nested_enum_loses_its_prefix_too() -> None:
    assert facts.of(EndpointService(state=EndpointService.STATE_AVAILABLE))["state"] == "available"


def test_large_integers_are_numbers() -> None:
    assert facts.of(Endpoint(marker_id=2**53 - 1))["marker_id"] == 2**53 - 1
    assert json.loads(json.dumps(facts.of(LogRecord(recorded_at=2**62))))["recorded_at"] == 2**62


def test_times_are_in_rfc_3339_and_null_where_they_are_not_set() -> None:
    vpc = Vpc(create_time=Timestamp(seconds=1_700_000_000, nanos=5_000_000))
    assert facts.of(vpc)["create_time"] == "2023-11-14T22:13:20.005Z"
    assert facts.of(Vpc())["create_time"] is None


def test_bytes_are_in_base64() -> None:
    assert facts.of(LogRecord(data=b"\x00\xff"))["data"] == "AP8="


def test_of_alternatives_only_the_chosen_one_is_there() -> None:
    assert facts.of(Backend(address="10.0.0.1")) == {"address": "10.0.0.1", "weight": 0, "draining": False, "port": ""}
    assert "netns" not in facts.of(Attachment())
    assert "port_id" not in facts.of(Backend())


def test_maps_are_objects_in_order_of_their_keys() -> None:
    assert json.dumps(facts.of(GetStatusResponse(counters={"b": 1, "a": 2}))["counters"]) == '{"a": 2, "b": 1}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (PortMapping(client_port=80, server_port=8080, protocol=PortMapping.PROTOCOL_TCP), "80:8080/tcp"),
        (PortMapping(client_port=53, server_port=53, protocol=PortMapping.PROTOCOL_UDP), "53:53/udp"),
        (PortMapping(client_port=80), "80/tcp"),
        (Backend(address="10.0.0.1"), "10.0.0.1"),
        (Backend(address="10.0.0.1", weight=1), "10.0.0.1"),
        (Backend(address="10.0.0.1", weight=3, draining=True), "10.0.0.1=3/draining"),
        (Backend(address="10.0.0.1", draining=True), "10.0.0.1/draining"),
        (Backend(port_id="p-1"), "port p-1"),
        (Backend(port_id="p-1", weight=3), "port p-1=3"),
        (BackendForwarding(address="10.0.0.1", weight=3, draining=True), "10.0.0.1=3/draining"),
        (NetnsTarget(namespace="shop"), "shop"),
        (NetnsTarget(namespace="shop", device="eth1"), "shop/eth1"),
        (Condition(status=True), "yes"),
        (Condition(reason="backend is silent"), "no: backend is silent"),
        (Condition(), "no"),
        (True, "yes"),
        (False, "no"),
        (42, "42"),
        ("a\x1b[2Jb", "a?[2Jb"),
    ],
)
def test_values_in_words(value: object, text: str) -> None:
    assert words.of(value) == text


@pytest.mark.parametrize(
    ("text", "mapping"),
    [
        ("80", (80, 80, PortMapping.PROTOCOL_TCP)),
        ("80:8080", (80, 8080, PortMapping.PROTOCOL_TCP)),
        ("80/tcp", (80, 80, PortMapping.PROTOCOL_TCP)),
        ("53/udp", (53, 53, PortMapping.PROTOCOL_UDP)),
        ("1:65535/udp", (1, 65535, PortMapping.PROTOCOL_UDP)),
    ],
)
def test_port_mappings_as_they_are_typed(text: str, mapping: tuple[int, int, int]) -> None:
    read = parsing.port_mapping(text)
    assert (read.client_port, read.server_port, read.protocol) == mapping
    assert not read.client_identity


@pytest.mark.parametrize("identity", Identity)
def test_a_port_mapping_says_what_backends_learn_and_is_shown_as_it_is_typed(identity: Identity) -> None:
    read = parsing.port_mapping(f"443:8443/tcp+{identity}")
    assert read.client_identity == IDENTITIES[identity]
    assert words.port_mapping(read) == f"443:8443/tcp+{identity}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("443/tcp+marker", "one of none, toa, proxy, toa+proxy, proxy+marker"),
        ("53/udp+toa", "over TCP alone"),
        ("443+toa", "such as 80:8080/tcp or 443/tcp+proxy"),
    ],
)
def test_a_port_mapping_that_backends_cannot_learn_by_is_refused_with_what_can_be(text: str, why: str) -> None:
    with pytest.raises(typer.BadParameter, match=re.escape(why)):
        parsing.port_mapping(text)


@pytest.mark.parametrize("text", ["2026-11-23T08:30:00Z", "2026-11-23T09:30:00+01:00"])
def test_moments_may_name_their_zone(text: str) -> None:
    assert parsing.moment(text).seconds == 1795422600


def test_a_moment_without_a_zone_is_local() -> None:
    text = words.moment(1_700_000_000 * words.NANOSECONDS)
    assert parsing.moment(text).seconds == 1_700_000_000


def test_a_table_has_the_columns_of_its_kind_and_wide_has_every_field(cli: CommandLine) -> None:
    cli.answer("vpc", "create", "shop", "--cidr", "10.0.0.0/24")
    assert cli.text("vpc", "list").splitlines()[0].split() == ["ID", "NAME", "CIDRS", "CREATED"]
    wide = cli.text("vpc", "list", "-o", "wide").splitlines()[0]
    assert wide.split() == [
        "ID",
        "PROJECT",
        "ACCOUNT",
        "NAME",
        "CIDRS",
        "CREATE",
        "TIME",
        "ETAG",
        "DESCRIPTION",
        "TAGS",
        "RESOLVER",
    ]


def test_every_kind_that_is_listed_has_its_columns() -> None:
    owned = {
        "Vpc",
        "Subnet",
        "RouteTable",
        "Port",
        "Attachment",
        "EndpointService",
        "Connection",
        "ConnectableService",
        "DecidedConnection",
        "Endpoint",
    }
    assert set(tables.COLUMNS) == owned | {"Account", "AccessKey", "DefaultAttachment", "EventsCredential"}


def test_the_service_of_an_endpoint_is_shown_by_its_name() -> None:
    column = tables.COLUMNS["Endpoint"]["service"]
    assert not isinstance(column, str)
    assert column(Endpoint(service="s-1", service_full_name="region-1.web.s-1")) == "web"
    assert column(Endpoint(service="s-1")) == "s-1"


def test_nothing_is_cut_off_in_a_pipe(cli: CommandLine) -> None:
    cidrs = [f"10.{number}.0.0/16" for number in range(8)]
    made = cli.answer("vpc", "create", "x" * 63, *(word for cidr in cidrs for word in ("--cidr", cidr)))
    line = cli.text("vpc", "list").splitlines()[1]
    assert line.startswith(f"{made['id']}  {'x' * 63}  {', '.join(cidrs)}  ")


@pytest.mark.parametrize("noun", ["vpc", "subnet", "port", "attachment", "service", "endpoint"])
def test_an_empty_list_says_so_on_stderr_and_nothing_on_stdout(cli: CommandLine, noun: str) -> None:
    done = cli.run(noun, "list")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"no {noun}s\n")
    done = cli.run(noun, "list", "-o", "json")
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("output", Output)
def test_a_remark_never_mixes_with_the_answer(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    show(View({"a": 1}, lambda _: "answer", remark="remark"), output)
    printed = capsys.readouterr()
    assert "remark" not in printed.out
    assert (printed.err == "") == (output is Output.JSON)
