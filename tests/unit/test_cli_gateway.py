"""`sidegate gateway` and `sidegate audit replay`: forwarding tables, read and compared."""

import re
from collections.abc import Callable

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.events.v1.forwarding_pb2 import (
    AttachmentForwarding,
    EndpointForwarding,
    ForwardingEntry,
    PortForwarding,
    ResolverForwarding,
    ServiceForwarding,
    SourceLease,
)
from sidegate.api.gateway.v1.gateway_service_pb2 import GetStatusResponse, GetTableRequest, GetTableResponse, TableEntry
from sidegate.api.registry.v1.endpoint_service_pb2 import HealthCheck, PortMapping
from sidegate.api.registry.v1.vpc_pb2 import InterfaceTarget, NetnsTarget, VxlanTarget
from sidegate.cli.asks import USUAL
from sidegate.cli.comparison import differences
from tests.support.command_line import CommandLine
from tests.support.fake_sidegate import FakeSidegate

KERNEL, DESIRED, REPLAY = GetTableRequest.SOURCE_KERNEL, GetTableRequest.SOURCE_DESIRED, GetTableRequest.SOURCE_REPLAY
PORTS = [
    PortMapping(client_port=80, server_port=8080, protocol=PortMapping.PROTOCOL_TCP),
    PortMapping(client_port=53, server_port=53, protocol=PortMapping.PROTOCOL_UDP),
]


@pytest.fixture
def cli(fake: FakeSidegate) -> CommandLine:
    return CommandLine(fake)


def attachment(vpc: str, namespace: str) -> ForwardingEntry:
    netns = NetnsTarget(namespace=namespace, device="sidegate0")
    return ForwardingEntry(attachment=AttachmentForwarding(vpc_id=vpc, netns=netns))


def table(events: int = 0, difficulty: str = "") -> GetTableResponse:
    service = ServiceForwarding(
        service_id="s-1", vpc_id="v-2", backends=["10.0.0.10", "10.0.0.11"], port_mappings=PORTS
    )
    idle = ServiceForwarding(service_id="s-2", vpc_id="v-2", backends=["10.0.0.12"], port_mappings=PORTS[:1])
    endpoint = EndpointForwarding(
        endpoint_id="e-1",
        service_id="s-1",
        vpc_id="v-1",
        address="10.0.0.20",
        marker_id=42,
        admission=1,
        allowed_cidrs=["10.0.0.0/28", "10.0.0.64/28"],
        sources=[
            SourceLease(gateway_id="gw-0", address="198.19.128.1"),
            SourceLease(gateway_id="gw-1", address="198.19.128.7"),
        ],
    )
    entries = [
        TableEntry(entry=attachment("v-1", "shop")),
        TableEntry(entry=attachment("v-2", "payments")),
        TableEntry(entry=ForwardingEntry(service=service), difficulty=difficulty),
        TableEntry(entry=ForwardingEntry(service=idle)),
        TableEntry(entry=ForwardingEntry(endpoint=endpoint)),
    ]
    return GetTableResponse(gateway_id="gw-1", cell="default", position=7, events=events, entries=entries)


def test_a_table_reads_from_the_endpoints_address_to_the_backends(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.gateway.tables[KERNEL] = table(difficulty="backend 10.0.0.11 is silent")
    summary, _, titles, row, _, _, *rest = cli.text("gateway", "show").splitlines()
    assert summary == "gateway gw-1 of cell default, at position 7: 2 attachments, 2 services, 1 endpoint"
    assert titles.split()[:5] == ["ENDPOINT", "IN", "CLIENTS", "PORTS", "BACKENDS"]
    assert row.split("  ")[0] == "10.0.0.20"
    for cell in (
        "shop/sidegate0",
        "10.0.0.0/28, 10.0.0.64/28",
        "80:8080/tcp, 53:53/udp",
        "10.0.0.10, 10.0.0.11",
        "payments/sidegate0",
        "198.19.128.7",
        "42",
        "backend 10.0.0.11 is silent",
    ):
        assert f"  {cell}" in row
    assert "198.19.128.1" not in row
    assert [line.split()[0] for line in rest] == ["attachment", "attachment", "service"]
    assert "80:8080/tcp -> 10.0.0.12" in rest[2]


def test_resolvers_and_names_are_shown_where_there_are_any(fake: FakeSidegate, cli: CommandLine) -> None:
    told = table()
    told.entries[4].entry.endpoint.dns_names.append("e-1.local.sidegate.internal")
    zone = "local.sidegate.internal"
    open_ = ResolverForwarding(vpc_id="v-1", address="10.0.0.53", forwarders=["9.9.9.9:53"], zone=zone)
    shut = ResolverForwarding(vpc_id="v-2", address="10.0.0.54", zone=zone)
    told.entries.add(entry=ForwardingEntry(resolver=open_))
    told.withheld.add(entry=ForwardingEntry(resolver=shut), difficulty="it cannot listen")
    fake.gateway.tables[KERNEL] = told
    _, _, titles, row, *_, first, second = cli.text("gateway", "show").splitlines()
    assert "NAMES" in titles
    assert "  e-1.local.sidegate.internal" in row
    assert re.split(r"\s{2,}", first.strip()) == [
        *("resolver", "v-1", "10.0.0.53 for local.sidegate.internal, others from 9.9.9.9:53"),
    ]
    assert re.split(r"\s{2,}", second.strip()) == [
        *("resolver", "v-2", "10.0.0.54 for local.sidegate.internal, others refused"),
        "not there: it cannot listen",
    ]
    fake.gateway.tables[REPLAY] = table(events=9)
    fake.gateway.tables[REPLAY].entries.add(entry=ForwardingEntry(resolver=open_))
    assert not differences(fake.gateway.tables[REPLAY], fake.gateway.tables[KERNEL]), "the kernel knows of no names"


def test_an_endpoint_with_routes_is_shown_by_them(fake: FakeSidegate, cli: CommandLine) -> None:
    told = table()
    endpoint = told.entries[-1].entry.endpoint
    endpoint.address = ""
    endpoint.routes.add(prefix="100.125.0.0/16")
    endpoint.routes.add(prefix="100.125.8.0/21", denied=True)
    endpoint.routes.add(
        prefix="100.125.9.0/24", ports=[PortForwarding(client_port=80, protocol=PortMapping.PROTOCOL_TCP)]
    )
    fake.gateway.tables[KERNEL] = told
    shown = cli.text("gateway", "show")
    assert "100.125.0.0/16, not 100.125.8.0/21, 100.125.9.0/24 by 80/tcp  " in shown


def test_what_could_not_be_made_is_shown_with_the_reason(fake: FakeSidegate, cli: CommandLine) -> None:
    told = table()
    vxlan = AttachmentForwarding(vpc_id="v-3", vxlan=VxlanTarget(vni=100, remotes=["192.0.2.10"]))
    interface = AttachmentForwarding(vpc_id="v-4", interface=InterfaceTarget(address="172.30.0.5"))
    for attachment, difficulty in ((vxlan, "it is in use"), (interface, "it is down")):
        told.withheld.add(entry=ForwardingEntry(attachment=attachment), difficulty=difficulty)
    fake.gateway.tables[KERNEL] = told
    *_, first, second = cli.text("gateway", "show").splitlines()
    assert re.split(r"\s{2,}", first.strip()) == [
        "attachment",
        "v-3",
        "VXLAN 100 to 192.0.2.10",
        "not there: it is in use",
    ]
    assert re.split(r"\s{2,}", second.strip()) == ["attachment", "v-4", "addr:172.30.0.5", "not there: it is down"]


def test_a_table_shows_weights_and_what_is_draining(fake: FakeSidegate, cli: CommandLine) -> None:
    told = table()
    for number in (2, 3):
        _weigh(told.entries[number].entry.service, 3, 1)
        told.entries[number].entry.service.weighted_backends[1].draining = True
    fake.gateway.tables[KERNEL] = told
    _, _, _, row, _, _, *rest = cli.text("gateway", "show").splitlines()
    assert "  10.0.0.10=3, 10.0.0.11/draining  " in row
    assert "80:8080/tcp -> 10.0.0.10=3, 10.0.0.11/draining" in rest[2]
    (first, second) = cli.answer("gateway", "show")["entries"][2]["entry"]["service"]["weighted_backends"]
    assert (first["weight"], first["draining"], second["draining"]) == (3, False, True)


def test_a_table_shows_until_when_endpoints_drain_where_any_does(fake: FakeSidegate, cli: CommandLine) -> None:
    told = table()
    fake.gateway.tables[KERNEL] = told
    assert "DRAINING" not in cli.text("gateway", "show")
    endpoint = next(each.entry.endpoint for each in told.entries if each.entry.HasField("endpoint"))
    endpoint.removed, endpoint.draining_until = True, 1_700_000_000_000_000_000
    fake.gateway.tables[KERNEL] = told
    shown = cli.text("gateway", "show")
    assert "DRAINING UNTIL" in shown
    assert "2023-11-1" in shown


def test_an_endpoint_with_many_source_addresses_shows_the_first_and_in_full_width_all(
    fake: FakeSidegate, cli: CommandLine
) -> None:
    told = table()
    endpoint = next(each.entry.endpoint for each in told.entries if each.entry.HasField("endpoint"))
    for number in (8, 9):
        endpoint.sources.add(gateway_id="gw-1", address=f"198.19.128.{number}")
    fake.gateway.tables[KERNEL] = told
    assert "  198.19.128.7 and 2 more  " in cli.text("gateway", "show")
    assert "  198.19.128.7, 198.19.128.8, 198.19.128.9  " in cli.text("gateway", "show", "-o", "wide")


def _weigh(service: ServiceForwarding, *weights: int) -> None:
    for number, weight in enumerate(weights, 10):
        service.weighted_backends.add(address=f"10.0.0.{number}", weight=weight)


def test_the_source_of_the_table_can_be_chosen(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.gateway.tables = {KERNEL: table(), DESIRED: GetTableResponse(gateway_id="gw-1", cell="default")}
    assert len(cli.answer("gateway", "show", "--source", "kernel")["entries"]) == 5
    assert cli.answer("gateway", "show", "--source", "desired")["entries"] == []
    said = cli.text("gateway", "show", "--source", "desired")
    assert said == "gateway gw-1 of cell default, at position 0: 0 attachments, 0 services, 0 endpoints\n"


def test_programs_read_the_entries_as_the_contract_has_them(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.gateway.tables[KERNEL] = table()
    told = cli.answer("gateway", "show")
    assert (told["gateway_id"], told["position"]) == ("gw-1", 7)
    endpoint = told["entries"][4]["entry"]["endpoint"]
    assert (endpoint["address"], endpoint["marker_id"]) == ("10.0.0.20", 42)
    assert list(told["entries"][0]["entry"]) == ["attachment"]


def test_wide_names_the_ids(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.gateway.tables[KERNEL] = table()
    assert "e-1" in cli.text("gateway", "show", "-o", "wide")


def test_the_status_tells_what_became_of_packets(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.gateway.state = GetStatusResponse(gateway_id="gw-1", position=2**40, counters={"forwarded": 3, "dropped": 1})
    told = cli.answer("gateway", "status")
    assert (told["position"], told["in_sync"], told["heard_time"]) == (2**40, False, None)
    assert told["counters"] == {"dropped": 1, "forwarded": 3}
    assert "dropped=1, forwarded=3" in cli.text("gateway", "status")


def test_a_replay_is_asked_for_at_a_position_or_a_moment(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.gateway.tables[REPLAY] = table(events=9)
    assert cli.answer("audit", "replay")["events"] == 9
    cli.answer("audit", "replay", "--at", "42")
    cli.answer("audit", "replay", "--at", "2026-11-23T08:30:00Z")
    everything, position, moment = fake.gateway.asked
    assert everything == GetTableRequest(source=REPLAY)
    assert position == GetTableRequest(source=REPLAY, position=42)
    assert moment == GetTableRequest(source=REPLAY, time=Timestamp(seconds=1795422600))
    assert "9 events replayed" in cli.text("audit", "replay")


def test_a_replay_that_equals_the_kernel_says_so(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.gateway.tables = {KERNEL: table(), REPLAY: table(events=9)}
    told = cli.answer("audit", "replay", "--compare")
    assert (told["equal"], told["events"], told["position"], told["difference"]) == (True, 9, 7, [])
    assert "5 entries, the same as in the kernel of gateway gw-1" in cli.text("audit", "replay", "--compare")


def test_a_comparison_replays_to_the_kernels_position(fake: FakeSidegate, cli: CommandLine) -> None:
    fake.gateway.tables = {KERNEL: table(), REPLAY: table(events=9)}
    cli.answer("audit", "replay", "--compare")
    cli.answer("audit", "replay", "--compare", "--at", "3")
    assert [(each.source, each.position) for each in fake.gateway.asked] == [
        (KERNEL, 0),
        (REPLAY, 7),
        (KERNEL, 0),
        (REPLAY, 3),
    ]


def test_a_replay_that_differs_from_the_kernel_says_in_what(fake: FakeSidegate, cli: CommandLine) -> None:
    replayed = table(events=9)
    replayed.entries[4].entry.endpoint.address = "10.0.0.5"
    del replayed.entries[3]
    fake.gateway.tables = {KERNEL: table(), REPLAY: replayed}
    told = cli.answer("audit", "replay", "--compare", code=1)
    assert not told["equal"]
    endpoint, service = told["difference"]
    assert (endpoint["id"], endpoint["replay"]["address"], endpoint["kernel"]["address"]) == (
        "e-1",
        "10.0.0.5",
        "10.0.0.20",
    )
    assert (service["id"], service["replay"]) == ("s-2", None)
    said = cli.text("audit", "replay", "--compare", code=1)
    assert "address: 10.0.0.5 in the replay, 10.0.0.20 in the kernel" in said
    assert "only in the kernel" in said


def _other_version(found: GetTableResponse) -> None:
    found.entries[0].entry.attachment.version = 5
    found.entries[2].entry.service.version = 5
    found.entries[4].entry.endpoint.generation = 5


def _other_order(found: GetTableResponse) -> None:
    found.entries[2].entry.service.backends.reverse()
    found.entries[2].entry.service.port_mappings.reverse()
    found.entries[4].entry.endpoint.allowed_cidrs.reverse()
    found.entries.reverse()


def _other_order_of_weighted_backends(found: GetTableResponse) -> None:
    _weigh(found.entries[2].entry.service, 3, 1)
    reordered = list(reversed(found.entries[2].entry.service.weighted_backends))
    del found.entries[2].entry.service.weighted_backends[:]
    found.entries[2].entry.service.weighted_backends.extend(reordered)


def test_the_order_of_weighted_backends_is_no_difference_and_their_weights_and_draining_are() -> None:
    one, other = table(), table()
    _weigh(one.entries[2].entry.service, 3, 1)
    _other_order_of_weighted_backends(other)
    assert differences(one, other) == []
    other.entries[2].entry.service.weighted_backends[0].weight = 2
    (found,) = differences(one, other)
    assert "weighted_backends" in found.words
    other.entries[2].entry.service.weighted_backends[0].weight = 1
    other.entries[2].entry.service.weighted_backends[0].draining = True
    assert len(differences(one, other)) == 1


def test_what_a_service_asks_is_a_difference_and_is_shown_beside_its_endpoints(
    fake: FakeSidegate, cli: CommandLine
) -> None:
    plain, asking = table(), table()
    service = asking.entries[2].entry.service
    service.session_settings.MergeFrom(USUAL)
    service.session_settings.udp_one_way_seconds = 5
    service.health_check.MergeFrom(HealthCheck(protocol=HealthCheck.PROTOCOL_TCP, port=8080, interval_seconds=9))
    service.limits.connections = 100
    (found,) = differences(plain, asking)
    for words in ("session_settings: None in the replay", "health_check: None in the replay", "'connections': 100"):
        assert words in found.words
    fake.gateway.tables[KERNEL] = plain
    assert "ITS SERVICE ASKS" not in cli.text("gateway", "show")
    fake.gateway.tables[KERNEL] = asking
    said = " ".join(cli.text("gateway", "show").split())
    assert "ITS SERVICE ASKS" in said
    assert "udp idle 120 s, one-way 5 s; connections: 100; tcp:8080 accepts every 9 s" in said


def _other_difficulty(found: GetTableResponse) -> None:
    found.entries[2].difficulty = "backend is silent"


@pytest.mark.parametrize("change", [_other_version, _other_order, _other_difficulty])
def test_what_forwards_the_same_is_no_difference(change: Callable[[GetTableResponse], None]) -> None:
    changed = table()
    change(changed)
    assert differences(changed, table()) == []


def _other_port(found: GetTableResponse) -> None:
    found.entries[2].entry.service.port_mappings[0].server_port = 81


def _other_backend(found: GetTableResponse) -> None:
    found.entries[2].entry.service.backends[0] = "10.0.0.13"


def _other_namespace(found: GetTableResponse) -> None:
    found.entries[0].entry.attachment.netns.namespace = "other"


def _other_admission(found: GetTableResponse) -> None:
    found.entries[4].entry.endpoint.admission = 2


def _other_whitelist(found: GetTableResponse) -> None:
    found.entries[4].entry.endpoint.allowed_cidrs.append("10.0.0.128/28")


def _other_source(found: GetTableResponse) -> None:
    found.entries[4].entry.endpoint.sources[1].address = "198.19.128.8"


def _missing(found: GetTableResponse) -> None:
    del found.entries[0]


@pytest.mark.parametrize(
    "change",
    [
        _other_port,
        _other_backend,
        _other_namespace,
        _other_admission,
        _other_whitelist,
        _other_source,
        _missing,
    ],
)
def test_what_forwards_otherwise_is_a_difference(change: Callable[[GetTableResponse], None]) -> None:
    changed = table()
    change(changed)
    (forth,), (back,) = differences(changed, table()), differences(table(), changed)
    assert (forth.kind, forth.id) == (back.kind, back.id)
    assert forth.words
