"""Stored events: the same bytes for ever, and what they mean; requests as the domain's values."""

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from services.common.addressing import networks_of
from services.common.errors import Invalid
from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.rpc.guard import check
from services.endpoint.domain import forwarding, gateway, resolvers
from services.endpoint.domain.endpoint import (
    Absent,
    ConnectionApproved,
    ConnectionNoted,
    ConnectionRejected,
    DrainEnded,
    EndpointActivated,
    EndpointChanged,
    EndpointDeleted,
    EndpointDeletionRequested,
    EndpointFailed,
    EndpointRequested,
    EndpointRerouted,
    SourceAddressLeased,
    SourcesAdded,
)
from services.endpoint.domain.endpoint_commands import Change, Reject
from services.endpoint.domain.endpoint_decisions import ENDPOINT
from services.endpoint.domain.facts import SourceLease
from services.endpoint.domain.presence import standing
from services.endpoint.domain.routes import Port, Route, Routing
from services.endpoint.domain.targets import Netns
from services.endpoint.wire.endpoint import EndpointCodec, forwarding_entry, state_of
from services.endpoint.wire.forwarding import AttachmentCodec, ServiceCodec, is_removed
from services.endpoint.wire.gateway import GatewayCodec, member_of
from services.endpoint.wire.request import change_of, decisions_of, until_of
from services.endpoint.wire.resolvers import ResolverCodec
from services.endpoint.wire.resource import connection_of, connection_resource, endpoint_resource, standing_of
from services.endpoint.wire.stored import TYPES, UnknownFact, subject
from sidegate.api.endpoint.v1 import endpoint_service_pb2 as service_pb
from sidegate.api.events.v1 import endpoint_events_pb2 as events_pb
from sidegate.api.events.v1.forwarding_pb2 import ForwardingEntry
from tests.support.endpoint import CONSUMER, ENDPOINT_ID, FACTS, PROVIDER, SERVICE_ID, STATES, after, known

GOLDEN: dict[str, str] = json.loads(Path(__file__).with_name("golden").joinpath("endpoint_events.json").read_text())
"""The bytes of each stored event as the first version wrote them, in hexadecimal. Never changed, only added to."""

WEIGHTS: dict[str, str] = json.loads(Path(__file__).with_name("golden").joinpath("weights.json").read_text())
"""The same of those that say more since there are weights."""

DRAINS: dict[str, str] = json.loads(Path(__file__).with_name("golden").joinpath("drains.json").read_text())
"""The same of those that say more since sessions drain."""

DNS, HTTPS = Port(53, forwarding.Protocol.UDP), Port(443, forwarding.Protocol.TCP)
ROUTING = Routing(
    tables=("66666666-6666-4666-8666-666666666661",),
    prefixes=networks_of(("100.125.0.0/16", "100.126.0.10/32")),
    subnets=networks_of(("10.0.0.0/25",)),
    routes=(
        Route(
            IPv4Network("100.125.0.0/16"), ports=(Port(53, forwarding.Protocol.UDP), Port(443, forwarding.Protocol.TCP))
        ),
        Route(IPv4Network("100.126.0.10/32")),
        Route(IPv4Network("100.125.1.0/24"), denied=True),
    ),
)
LIFE = (
    EndpointRequested(FACTS),
    ConnectionApproved(2_000),
    EndpointActivated(3_000, 2),
    EndpointChanged(4_000, "renamed", (IPv4Network("10.0.0.0/24"), IPv4Network("10.1.0.0/16"))),
    SourceAddressLeased(5_000, SourceLease("gw-2", IPv4Address("198.19.200.1"))),
    ConnectionRejected(6_000),
    EndpointFailed(7_000, "service deleted"),
    EndpointDeletionRequested(8_000),
    EndpointDeleted(9_000),
    ConnectionNoted(9_500, "ticket 4711"),
    DrainEnded(9_700),
    SourcesAdded(
        9_800,
        (
            SourceLease("gw-1", IPv4Address("198.19.200.2")),
            SourceLease("gw-1", IPv4Address("198.19.200.3")),
        ),
    ),
    EndpointRerouted(9_900, ROUTING),
)
SERVICE = forwarding.ServiceForwarded(
    cell="default",
    service=FACTS.service,
    version=3,
    vpc=FACTS.placement.provider_vpc,
    backends=(forwarding.Backend(IPv4Address("10.0.0.10")), forwarding.Backend(IPv4Address("10.0.0.11"))),
    ports=(
        forwarding.PortMapping(80, 8080, forwarding.Protocol.TCP),
        forwarding.PortMapping(53, 53, forwarding.Protocol.UDP),
    ),
)
SERVICE_EVENT = forwarding.ServiceForwardingChanged(SERVICE)
ATTACHMENT = forwarding.AttachmentForwarded("default", FACTS.vpc, 1, Netns("shop", "sidegate0"))
ATTACHMENT_EVENT = forwarding.AttachmentChanged(ATTACHMENT)
RESOLVER = resolvers.ResolverForwarded(
    "default",
    FACTS.vpc,
    2,
    resolvers.Resolver(IPv4Address("10.0.0.53"), ("192.0.2.1:5353", "[2620:fe::fe]:53"), "local.sidegate.internal"),
)
RESOLVER_EVENT = resolvers.ResolverChanged(RESOLVER)
GATEWAY_EVENTS = (
    gateway.GatewayJoined("gw-1", "default"),
    gateway.GatewayLost("gw-1", "default", 1_700_000_000_000_000_000),
    gateway.GatewayRetired("gw-1", "default"),
)


def recorded(event: NewEvent, stream: str = "endpoint-1", partition: str = "default") -> RecordedEvent:
    return RecordedEvent(
        position=1,
        stream=stream,
        version=1,
        event_id=bytes(16),
        type=event.type,
        schema_version=event.schema_version,
        recorded_at=1,
        partition=partition,
        prev=0,
        data=event.data,
        meta=b"",
        hash=bytes(32),
    )


def everything_stored() -> dict[str, NewEvent]:
    """One event of each kind, by its stored name."""
    stored: list[NewEvent] = []
    state = ENDPOINT.initial
    for event in LIFE:
        state = ENDPOINT.evolve(state, event)
        stored.append(EndpointCodec().encode(event, state))
    stored.append(ServiceCodec().encode(SERVICE_EVENT, SERVICE))
    stored.append(AttachmentCodec().encode(ATTACHMENT_EVENT, ATTACHMENT))
    stored.append(ResolverCodec().encode(RESOLVER_EVENT, RESOLVER))
    stored += [GatewayCodec().encode(event, gateway.Absent()) for event in GATEWAY_EVENTS]
    return {event.type: event for event in stored}


STORED = everything_stored()


def test_there_is_a_golden_event_of_every_stored_type() -> None:
    assert set(STORED) == set(TYPES.values()) == set(GOLDEN)


@pytest.mark.parametrize("type_", sorted(STORED))
def test_an_event_is_stored_as_it_always_was(type_: str) -> None:
    assert STORED[type_].data.hex() == GOLDEN[type_]


def golden(type_: str) -> RecordedEvent:
    return recorded(NewEvent(type_, bytes.fromhex(GOLDEN[type_])))


@pytest.mark.parametrize("event", LIFE, ids=lambda event: type(event).__name__)
def test_a_golden_event_of_an_endpoint_means_what_it_always_did(event: object) -> None:
    meant = [EndpointCodec().decode(golden(type_)) for type_ in GOLDEN if type_ in STORED_OF_LIFE]
    assert event in meant


STORED_OF_LIFE = {EndpointCodec().encode(event, STATES["accepted"]).type for event in LIFE}


def test_golden_events_of_cells_mean_what_they_always_did() -> None:
    assert ServiceCodec().decode(golden("endpoint.v1.ServiceForwardingChanged")) == SERVICE_EVENT
    assert ResolverCodec().decode(golden("endpoint.v1.ResolverChanged")) == RESOLVER_EVENT
    assert AttachmentCodec().decode(golden("endpoint.v1.AttachmentChanged")) == ATTACHMENT_EVENT
    for event, name in zip(GATEWAY_EVENTS, ("GatewayJoined", "GatewayLost", "GatewayRetired"), strict=True):
        assert GatewayCodec().decode(golden(f"endpoint.v1.{name}")) == event
    assert member_of(golden("endpoint.v1.GatewayLost").data) == gateway.Lost(
        "gw-1", "default", 1_700_000_000_000_000_000
    )


def test_every_stored_event_holds_the_endpoint_as_it_is_after_it() -> None:
    state = ENDPOINT.initial
    for event in LIFE:
        state = ENDPOINT.evolve(state, event)
        held = state_of(EndpointCodec().encode(event, state).data)
        assert type(held) is type(state)
        assert held.facts == state.facts


def test_an_endpoint_and_its_connection_are_shown_from_its_event_as_from_its_state() -> None:
    stored = [golden(type_).data for type_ in STORED_OF_LIFE]
    states = [state for state in STATES.values() if not isinstance(state, Absent)]
    stored += [EndpointCodec().encode(EndpointDeleted(1), state).data for state in states]
    for data in stored:
        event, state = events_pb.EndpointEvent.FromString(data), state_of(data)
        assert event.endpoint == endpoint_resource(state)
        assert standing_of(event.endpoint) == standing(state)
        assert connection_of(event) == connection_resource(state)


@pytest.mark.parametrize("stage", ["pending", "creating", "accepted", "rejected", "failed", "deleting", "deleted"])
def test_only_creating_and_accepted_endpoints_are_forwarded(stage: str) -> None:
    entry = forwarding_entry(known(STATES[stage]))
    assert entry.removed == (stage not in ("creating", "accepted"))
    assert not entry.draining_until


@pytest.mark.parametrize(
    "event",
    [ConnectionRejected(4_000, drain_until=9_000), EndpointDeletionRequested(4_000, 9_000)],
    ids=["rejected", "deleted"],
)
def test_a_drain_is_stored_as_it_was_when_it_came(event: ConnectionRejected | EndpointDeletionRequested) -> None:
    state = known(after(event, state=STATES["accepted"]))
    stored = EndpointCodec().encode(event, state)
    assert stored.data.hex() == DRAINS[stored.type]
    read = recorded(NewEvent(stored.type, bytes.fromhex(DRAINS[stored.type])))
    assert (EndpointCodec().decode(read), state_of(read.data)) == (event, state)


def test_an_endpoint_whose_sessions_drain_is_removed_to_a_gateway_that_knows_of_no_drains() -> None:
    entry = forwarding_entry(known(after(ConnectionRejected(4_000, drain_until=9_000), state=STATES["accepted"])))
    assert (entry.removed, entry.draining_until) == (True, 9_000)
    assert not is_removed(ForwardingEntry(endpoint=entry))


def test_both_sides_see_until_when_sessions_drain() -> None:
    state = known(after(ConnectionRejected(4_000, drain_until=9_000), state=STATES["accepted"]))
    for shown in (endpoint_resource(state), connection_resource(state)):
        assert shown.drain_end_time.ToNanoseconds() == 9_000
    assert not connection_resource(known(STATES["rejected"])).HasField("drain_end_time")


@pytest.mark.parametrize(("seconds", "fits"), [(0, True), (3600, True), (3601, False), (-1, False)])
def test_sessions_drain_for_an_hour_at_most(seconds: int, fits: bool) -> None:
    decided = service_pb.DecideConnectionsRequest.DECISION_REJECT
    for request in (
        service_pb.RejectConnectionRequest(service_id=SERVICE_ID, endpoint_id=ENDPOINT_ID, drain=seconds),
        service_pb.DeleteEndpointRequest(id=ENDPOINT_ID, drain=seconds),
        service_pb.DecideConnectionsRequest(
            service_id=SERVICE_ID, endpoint_ids=[ENDPOINT_ID], decision=decided, drain=seconds
        ),
    ):
        if fits:
            check(request)
            continue
        with pytest.raises(Invalid) as refused:
            check(request)
        assert refused.value.field == "drain"


def test_only_rejections_drain() -> None:
    request = service_pb.DecideConnectionsRequest(service_id=SERVICE_ID, endpoint_ids=[ENDPOINT_ID], drain=30)
    request.decision = service_pb.DecideConnectionsRequest.DECISION_REJECT
    assert decisions_of(request, 1, PROVIDER) == [Reject(1, PROVIDER, SERVICE_ID, ENDPOINT_ID, 30_000_000_000)]
    request.decision = service_pb.DecideConnectionsRequest.DECISION_ACCEPT
    with pytest.raises(Invalid, match="only what is rejected is drained"):
        decisions_of(request, 1, PROVIDER)


WEIGHED = replace(
    SERVICE,
    backends=(
        forwarding.Backend(IPv4Address("10.0.0.10"), 3),
        forwarding.Backend(IPv4Address("10.0.0.11"), 100, draining=True),
    ),
)


def test_weights_and_draining_are_stored_as_they_were_when_they_came() -> None:
    event = forwarding.ServiceForwardingChanged(WEIGHED)
    stored = ServiceCodec().encode(event, WEIGHED)
    assert stored.data.hex() == WEIGHTS[stored.type]
    assert ServiceCodec().decode(recorded(NewEvent(stored.type, bytes.fromhex(WEIGHTS[stored.type])))) == event


def test_a_gateway_that_knows_of_no_weights_reads_the_backends_that_take_sessions() -> None:
    stored = ServiceCodec().encode(forwarding.ServiceForwardingChanged(WEIGHED), WEIGHED)
    entry = events_pb.EndpointEvent.FromString(stored.data).forwarding.service
    assert list(entry.backends) == ["10.0.0.10"]


RESTORED: dict[str, str] = json.loads(Path(__file__).with_name("golden").joinpath("restored.json").read_text())
"""Stored events that say which of the registry's logs they were read in."""


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("forwarded", replace(SERVICE, version=9, ahead=6, log=forwarding.RegistryLog("log", 2))),
        ("removed", forwarding.ServiceRemoved("default", "web", 4, forwarding.RegistryLog("log", 2))),
    ],
)
def test_the_registrys_log_is_stored_as_it_was_when_it_came(
    name: str, entry: forwarding.ServiceForwarded | forwarding.ServiceRemoved
) -> None:
    event = forwarding.ServiceForwardingChanged(entry)
    stored = ServiceCodec().encode(event, entry)
    assert stored.data.hex() == RESTORED[name]
    assert ServiceCodec().decode(recorded(NewEvent(stored.type, bytes.fromhex(RESTORED[name])))) == event


def test_removed_entries_come_back_as_removed() -> None:
    gone = forwarding.ServiceForwardingChanged(forwarding.ServiceRemoved("default", "web", 4))
    assert ServiceCodec().decode(recorded(ServiceCodec().encode(gone, gone.entry))) == gone
    unreached = forwarding.AttachmentChanged(forwarding.AttachmentForwarded("default", "shop", 2, None))
    assert AttachmentCodec().decode(recorded(AttachmentCodec().encode(unreached, unreached.entry))) == unreached


@pytest.mark.parametrize("codec", [EndpointCodec(), ServiceCodec(), AttachmentCodec(), GatewayCodec()])
def test_an_event_of_a_later_version_is_refused_and_not_guessed(
    codec: EndpointCodec | ServiceCodec | AttachmentCodec | GatewayCodec,
) -> None:
    with pytest.raises(UnknownFact):
        codec.decode(recorded(NewEvent("endpoint.v2.Unheard", events_pb.EndpointEvent().SerializeToString())))


def test_subjects_name_cell_kind_project_and_id() -> None:
    subjects = {type_: subject(recorded(event, _stream(type_))) for type_, event in STORED.items()}
    assert subjects["endpoint.v1.Requested"] == f"endpoint.v1.default.endpoint.shop.{ENDPOINT_ID}"
    assert subjects["endpoint.v1.GatewayLost"] == "endpoint.v1.default.gateway.operator.gw-1"
    forwarding_subject = subjects["endpoint.v1.ServiceForwardingChanged"]
    assert forwarding_subject == "endpoint.v1.default.service_forwarding.operator.web"
    assert subjects["endpoint.v1.AttachmentChanged"] == "endpoint.v1.default.attachment.operator.shop"


def _stream(type_: str) -> str:
    streams = {
        "ServiceForwardingChanged": "service_forwarding-default/web",
        "AttachmentChanged": "attachment-default/shop",
    }
    return streams.get(type_.rpartition(".")[2], "gateway-gw-1")


def test_a_connection_shows_nothing_of_the_consumers_network() -> None:
    shown = connection_resource(known(STATES["accepted"]))
    text = str(shown)
    for secret in (FACTS.vpc, FACTS.subnet, str(FACTS.address), FACTS.port, FACTS.name, CONSUMER.project + '"'):
        assert secret not in text


def update(paths: list[str], **fields: object) -> service_pb.UpdateEndpointRequest:
    request = service_pb.UpdateEndpointRequest()
    request.endpoint.id = ENDPOINT_ID
    request.update_mask.paths.extend(paths)
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(request.endpoint, name).extend(value)
        else:
            setattr(request.endpoint, name, value)
    return request


def test_an_update_changes_what_its_mask_names_and_nothing_else() -> None:
    request = update(["name"], name="other", allowed_cidrs=["10.0.0.0/24"])
    assert change_of(request, 1, CONSUMER) == Change(1, CONSUMER, ENDPOINT_ID, "other", None)
    emptied = update(["allowed_cidrs"])
    assert change_of(emptied, 1, CONSUMER) == Change(1, CONSUMER, ENDPOINT_ID, None, ())


def test_a_range_that_is_given_twice_is_kept_once() -> None:
    request = update(["allowed_cidrs"], allowed_cidrs=["10.0.0.0/24", "10.1.0.0/24", "10.0.0.0/24"])
    assert change_of(request, 1, CONSUMER).allowed == (IPv4Network("10.0.0.0/24"), IPv4Network("10.1.0.0/24"))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (update([]), "update_mask"),
        (update(["name", "address"]), "update_mask"),
        (update(["name"], name="-no"), "endpoint.name"),
        (update(["name"], name="n" * 64), "endpoint.name"),
        (update(["name"], id="not-a-uuid"), "endpoint.id"),
        (update(["allowed_cidrs"], allowed_cidrs=["10.0.0.0/24", "10.0.0.300/24"]), "endpoint.allowed_cidrs[1]"),
        (update(["allowed_cidrs"], allowed_cidrs=["10.0.0.7/24"]), "endpoint.allowed_cidrs[0]"),
        (update(["allowed_cidrs"], allowed_cidrs=["10.0.0.0/33"]), "endpoint.allowed_cidrs[0]"),
        (update(["allowed_cidrs"], allowed_cidrs=["fd00::1/8"]), "endpoint.allowed_cidrs[0]"),
        (update(["allowed_cidrs"], allowed_cidrs=["fd00::/129"]), "endpoint.allowed_cidrs[0]"),
        (update(["allowed_cidrs"], allowed_cidrs=["fe80::%eth0/64"]), "endpoint.allowed_cidrs[0]"),
        (update(["allowed_cidrs"], allowed_cidrs=["::ffff:10.0.0.0/120"]), "endpoint.allowed_cidrs[0]"),
        (update(["allowed_cidrs"], allowed_cidrs=[""]), "endpoint.allowed_cidrs[0]"),
        (update(["allowed_cidrs"], allowed_cidrs=[f"10.0.{n}.0/24" for n in range(201)]), "endpoint.allowed_cidrs"),
    ],
)
def test_a_malformed_update_is_refused_with_the_name_of_its_field(
    request_: service_pb.UpdateEndpointRequest, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        change_of(request_, 1, CONSUMER)
    assert refused.value.field == field


def test_a_range_with_bits_behind_its_prefix_is_answered_with_the_one_that_is_meant() -> None:
    with pytest.raises(Invalid, match=r"is 10\.0\.0\.0/24 meant"):
        change_of(update(["allowed_cidrs"], allowed_cidrs=["10.0.0.7/24"]), 1, CONSUMER)


@pytest.mark.parametrize("seconds", [0, 1, 2, 366 * 86_400 + 3, 250_000_000_000, 2**62])
def test_an_acceptance_ends_at_a_moment_to_come_within_a_year(seconds: int) -> None:
    request = service_pb.AcceptConnectionRequest()
    assert until_of(request, 0) == 0
    request.expire_time.seconds = seconds
    now = 1_000_000_000
    if seconds == 2:
        assert until_of(request, now) == 2_000_000_000
        return
    with pytest.raises(Invalid) as refused:
        until_of(request, now)
    assert refused.value.field == "expire_time"
