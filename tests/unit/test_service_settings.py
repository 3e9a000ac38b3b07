"""What a service asks of gateways, from the API to the agent's table: defaults, limits, stored bytes, the whole way."""

import json
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import Invalid
from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.rpc.guard import check, check_changed
from services.common.rpc.service_settings import (
    AFFINITIES,
    HEALTH_PROTOCOLS,
    health_check_message,
    health_check_of,
    settings_message,
    settings_of,
)
from services.common.service_settings import USUAL, Affinity, HealthCheck, HealthProtocol, SessionSettings
from services.endpoint.domain.forwarding import Backend as ForwardedBackend
from services.endpoint.domain.forwarding import PortMapping as ForwardedMapping
from services.endpoint.domain.forwarding import Protocol as ForwardedProtocol
from services.endpoint.domain.forwarding import ServiceForwarded, ServiceForwardingChanged
from services.endpoint.registry_client import service_of as published_of
from services.endpoint.wire.forwarding import ServiceCodec as ForwardingCodec
from services.gateway_agent import table
from services.gateway_agent.wire import news_of_event
from services.registry.domain import service
from services.registry.domain.publication import UNCHECKED, ConsumerLimits, Protocol, Unchecked, check_health_check
from services.registry.domain.service_commands import Change, Create
from services.registry.domain.service_events import ServiceChanged, ServiceCreated
from services.registry.wire.profiles import parse_health_check
from services.registry.wire.services import ServiceCodec, service_message, service_of
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb
from sidegate.api.registry.v1.registry_service_pb2 import CreateEndpointServiceRequest
from tests.support import registry as make
from tests.support.registry import AT, NETWORK
from tests.support.service_settings import health_checks, session_settings

FILES = Path(__file__).with_name("golden")
GOLDEN: dict[str, str] = json.loads((FILES / "service_settings.json").read_text())
"""The bytes of stored events as they were when services began to ask, in hexadecimal. Never changed, only added to."""

BEFORE: dict[str, str] = {
    f"{file} {name}": data
    for file in ("registry_events", "profiles", "weights", "endpoint_events", "restored")
    for name, data in json.loads((FILES / f"{file}.json").read_text()).items()
    if "Service" in name
}
"""Those of services from before."""

SETTINGS = SessionSettings(600, 20, 5, 60, 15, Affinity.SOURCE_ADDRESS, reset_expired=True)
HTTP = HealthCheck(HealthProtocol.HTTP, 8080, "/healthz", (200, 299), 10, 3, 1, 4)
TCP = HealthCheck(port=0)
ASKING = replace(make.service(), session_settings=SETTINGS, health_check=HTTP)
PLAIN = make.service()
CHANGED = ServiceChanged(AT + 1, session_settings=SETTINGS, health_check=TCP)
AS_BEFORE = ServiceChanged(AT + 2, session_settings=USUAL, health_check=UNCHECKED)
FORWARDED = ServiceForwarded(
    cell="default",
    service=make.uuid(5),
    version=3,
    vpc=make.uuid(1),
    backends=(ForwardedBackend(IPv4Address("10.0.0.10")),),
    ports=(ForwardedMapping(80, 8080, ForwardedProtocol.TCP),),
    session_settings=SETTINGS,
    health_check=HTTP,
)


def recorded(name: str, data: bytes) -> RecordedEvent:
    event = NewEvent(name.partition(" ")[0], data)
    return RecordedEvent(1, "stream-1", 1, bytes(16), event.type, 1, AT, "default", 0, data, b"", bytes(32))


def stored() -> dict[str, NewEvent]:
    created = service.DECIDER.fold([ServiceCreated(ASKING)])
    plain = service.DECIDER.fold([ServiceCreated(PLAIN)])
    changed = service.DECIDER.fold([CHANGED], plain)
    return {
        "registry.v1.ServiceCreated": ServiceCodec().encode(ServiceCreated(ASKING), created),
        "registry.v1.ServiceChanged": ServiceCodec().encode(CHANGED, changed),
        "registry.v1.ServiceChanged to what was": ServiceCodec().encode(
            AS_BEFORE, service.DECIDER.fold([AS_BEFORE], changed)
        ),
        "endpoint.v1.ServiceForwardingChanged": ForwardingCodec().encode(
            ServiceForwardingChanged(FORWARDED), FORWARDED
        ),
    }


# ---- stored bytes


@pytest.mark.parametrize("name", stored())
def test_what_is_asked_is_stored_as_it_was_when_it_came(name: str) -> None:
    assert stored()[name].data.hex() == GOLDEN[name]


def test_golden_events_mean_what_they_always_did() -> None:
    read = {name: recorded(name, bytes.fromhex(data)) for name, data in GOLDEN.items()}
    assert set(read) == set(stored())
    assert ServiceCodec().decode(read["registry.v1.ServiceCreated"]) == ServiceCreated(ASKING)
    assert ServiceCodec().decode(read["registry.v1.ServiceChanged"]) == CHANGED
    assert ServiceCodec().decode(read["registry.v1.ServiceChanged to what was"]) == AS_BEFORE
    read_entry = ForwardingCodec().decode(read["endpoint.v1.ServiceForwardingChanged"])
    assert read_entry == ServiceForwardingChanged(FORWARDED)


@pytest.mark.parametrize("name", BEFORE)
def test_a_service_of_before_asks_what_gateways_did_before_and_is_stored_in_the_same_bytes(name: str) -> None:
    data = bytes.fromhex(BEFORE[name])
    if "endpoint.v1" in name:
        entry = ForwardingCodec().decode(recorded(name.partition(" ")[2], data)).entry
        if isinstance(entry, ServiceForwarded):
            assert (entry.session_settings, entry.health_check) == (USUAL, None)
        again = ForwardingCodec().encode(ServiceForwardingChanged(entry), entry)
        assert EndpointEvent.FromString(again.data).forwarding == EndpointEvent.FromString(data).forwarding
    else:
        told = RegistryEvent.FromString(data)
        assert not told.service.HasField("session_settings")
        assert not told.service.HasField("health_check")
        read = service_of(told.service)
        assert (read.session_settings, read.health_check) == (USUAL, UNCHECKED)
        shown = service_message(service.Available(read))
        assert not shown.HasField("session_settings")
        assert not shown.HasField("health_check")
        event = ServiceCodec().decode(recorded(name.partition(" ")[2], data))
        if isinstance(event, ServiceChanged):
            assert (event.session_settings, event.health_check) == (None, None)


def test_the_defaults_are_the_agents_own() -> None:
    idle = table.Timeouts()
    assert (USUAL.tcp_established, USUAL.tcp_half_open, USUAL.tcp_closed) == (350, 30, 10)
    assert (USUAL.udp_two_way, USUAL.udp_one_way) == (120, 30)
    assert idle == table.Timeouts(350, 30, 10, 120, 30)
    assert {each.value for each in Affinity} == {each.value for each in table.Affinity}
    assert {each.value for each in HealthProtocol} == {each.value for each in table.HealthProtocol}
    agents, ours = table.HealthCheck(table.HealthProtocol.TCP, 1), HealthCheck(port=1)
    for name in ("path", "statuses", "interval", "timeout", "healthy_after", "unhealthy_after"):
        assert getattr(agents, name) == getattr(ours, name)


# ---- messages


FIELDS = tuple(field.name for field in service_pb.SessionSettings.DESCRIPTOR.fields)


@given(session_settings, st.sets(st.sampled_from(FIELDS)))
def test_what_is_not_said_is_the_default_whatever_else_is(said: SessionSettings, unsaid: set[str]) -> None:
    message: Any = settings_message(said) or service_pb.SessionSettings()
    for field in unsaid:
        message.ClearField(field)
    read = settings_of(message)
    names = {field.removesuffix("_seconds") for field in unsaid}
    for name in ("tcp_established", "tcp_half_open", "tcp_closed", "udp_two_way", "udp_one_way", "affinity"):
        assert getattr(read, name) == getattr(USUAL if name in names else said, name)
    assert read.reset_expired == (said.reset_expired and "reset_expired" not in names)
    assert settings_of(settings_message(read) or service_pb.SessionSettings()) == read


@given(health_checks)
def test_a_health_check_survives_the_way_to_the_wire_and_back(said: HealthCheck) -> None:
    assert health_check_of(health_check_message(said)) == said
    check_health_check(said, [make.mapping()])


def test_a_health_check_of_which_nothing_is_said_asks_a_port_by_tcp() -> None:
    assert health_check_of(service_pb.HealthCheck()) == TCP
    shown = health_check_message(TCP)
    assert (shown.protocol, shown.interval_seconds, shown.timeout_seconds) == (
        service_pb.HealthCheck.PROTOCOL_TCP,
        5,
        2,
    )
    assert (shown.path, shown.first_status, shown.last_status) == ("", 0, 0)


def test_a_short_interval_shortens_the_timeout_that_nobody_named() -> None:
    assert health_check_of(service_pb.HealthCheck(interval_seconds=1)).timeout == 1
    assert health_check_of(service_pb.HealthCheck(interval_seconds=1, timeout_seconds=2)).timeout == 2


def test_every_word_of_the_contract_has_a_meaning_and_a_later_one_stops_no_service() -> None:
    assert {*AFFINITIES.values(), 0} == set(service_pb.SessionSettings.Affinity.values())
    assert {*HEALTH_PROTOCOLS.values(), 0} == set(service_pb.HealthCheck.Protocol.values())
    later: Any = 99
    assert settings_of(service_pb.SessionSettings(affinity=later)) == USUAL
    assert health_check_of(service_pb.HealthCheck(protocol=later)) == TCP


# ---- limits


def health(**said: Any) -> service_pb.EndpointService:
    return service_pb.EndpointService(health_check=service_pb.HealthCheck(**said))


def sessions(**said: Any) -> service_pb.EndpointService:
    return service_pb.EndpointService(session_settings=service_pb.SessionSettings(**said))


HTTP_PROTOCOL, UNKNOWN = service_pb.HealthCheck.PROTOCOL_HTTP, 99
ALLOWED = [
    *(sessions(tcp_established_seconds=each) for each in (0, 60, 86_400)),
    *(sessions(tcp_half_open_seconds=each) for each in (0, 5, 300)),
    *(sessions(tcp_closed_seconds=each) for each in (0, 1, 120)),
    *(sessions(udp_two_way_seconds=each) for each in (0, 10, 3_600)),
    *(sessions(udp_one_way_seconds=each) for each in (0, 5, 300)),
    *(health(port=each) for each in (0, 1, 65_535)),
    *(health(protocol=HTTP_PROTOCOL, path=each) for each in ("", "/", "/" + "x" * 127, "/a?b=c#~")),
    *(health(protocol=HTTP_PROTOCOL, first_status=each, last_status=599) for each in (0, 100, 599)),
    *(health(interval_seconds=each) for each in (0, 1, 300)),
    *(health(interval_seconds=300, timeout_seconds=each) for each in (0, 1, 60)),
    *(health(healthy_after=each, unhealthy_after=each) for each in (0, 1, 10)),
]
REFUSED: list[tuple[service_pb.EndpointService, str]] = [
    *(
        (sessions(tcp_established_seconds=each), "session_settings.tcp_established_seconds")
        for each in (-1, 59, 86_401)
    ),
    *((sessions(tcp_half_open_seconds=each), "session_settings.tcp_half_open_seconds") for each in (-1, 4, 301)),
    *((sessions(tcp_closed_seconds=each), "session_settings.tcp_closed_seconds") for each in (-1, 121)),
    *((sessions(udp_two_way_seconds=each), "session_settings.udp_two_way_seconds") for each in (-1, 9, 3_601)),
    *((sessions(udp_one_way_seconds=each), "session_settings.udp_one_way_seconds") for each in (-1, 4, 301)),
    (sessions(affinity=UNKNOWN), "session_settings.affinity"),
    (health(protocol=UNKNOWN), "health_check.protocol"),
    *((health(port=each), "health_check.port") for each in (-1, 65_536)),
    *(
        (health(protocol=HTTP_PROTOCOL, path=each), "health_check.path")
        for each in ("healthz", "/a b", "/a\r\nHost: b", "/ä", "/" + "x" * 128, " /")
    ),
    *((health(protocol=HTTP_PROTOCOL, first_status=each), "health_check.first_status") for each in (-1, 99, 600)),
    *((health(protocol=HTTP_PROTOCOL, last_status=each), "health_check.last_status") for each in (-1, 99, 600)),
    *((health(interval_seconds=each), "health_check.interval_seconds") for each in (-1, 301)),
    *((health(timeout_seconds=each), "health_check.timeout_seconds") for each in (-1, 61)),
    *((health(healthy_after=each), "health_check.healthy_after") for each in (-1, 11)),
    *((health(unhealthy_after=each), "health_check.unhealthy_after") for each in (-1, 11)),
    (
        service_pb.EndpointService(consumer_limits=service_pb.ConsumerLimits(connections=-1)),
        "consumer_limits.connections",
    ),
    (
        service_pb.EndpointService(approval_rules=service_pb.ApprovalRules(pending_seconds=-1)),
        "approval_rules.pending_seconds",
    ),
    (service_pb.EndpointService(name="a.b"), "name"),
]
CHANGEABLE = frozenset({"name", "session_settings", "health_check", "consumer_limits", "approval_rules"})


def creation(asked: service_pb.EndpointService) -> CreateEndpointServiceRequest:
    whole = service_pb.EndpointService(
        vpc_id=make.uuid(1),
        backends=[service_pb.Backend(address="10.0.0.10")],
        port_mappings=[service_pb.PortMapping(client_port=80, server_port=8080)],
    )
    whole.MergeFrom(asked)
    return CreateEndpointServiceRequest(endpoint_service=whole)


@pytest.mark.parametrize("asked", ALLOWED)
def test_what_may_be_asked_goes_from_the_lowest_to_the_highest(asked: service_pb.EndpointService) -> None:
    check(creation(asked))
    check_changed(asked, CHANGEABLE, "endpoint_service")
    check_health_check(parse_health_check(asked), PLAIN.port_mappings)


@pytest.mark.parametrize(("asked", "field"), REFUSED)
def test_what_may_not_be_asked_is_named_by_its_field_of_what_is_new_and_of_what_is_changed(
    asked: service_pb.EndpointService, field: str
) -> None:
    name = f"endpoint_service.{field}"
    with pytest.raises(Invalid) as refused:
        check(creation(asked))
    assert refused.value.field == name
    with pytest.raises(Invalid, match=f"^{name}: ") as refused:
        check_changed(asked, CHANGEABLE, "endpoint_service")
    assert (refused.value.reason, refused.value.field) == ("FIELD_INVALID", name)
    check_changed(asked, CHANGEABLE - {field.partition(".")[0]}, "endpoint_service")


def test_what_contradicts_itself_is_refused_with_the_way_out() -> None:
    for asked, field, words in (
        (HealthCheck(port=1, interval=2, timeout=3), "timeout_seconds", "3 s are longer .* 2 s: wait shorter, or"),
        (replace(HTTP, statuses=(300, 299)), "last_status", "299, is below the first, 300: give both"),
    ):
        for command in (Create(replace(PLAIN, health_check=asked), NETWORK), Change(AT, NETWORK, health_check=asked)):
            state = service.Absent() if isinstance(command, Create) else service.Available(PLAIN)
            with pytest.raises(Invalid, match=words) as refused:
                service.decide(command, state)
            assert refused.value.field == f"endpoint_service.health_check.{field}"


@pytest.mark.parametrize("name", ["path", "first_status", "last_status"])
def test_a_check_by_tcp_asks_for_nothing_that_only_http_has(name: str) -> None:
    asked = health(**{name: "/" if name == "path" else 200})
    with pytest.raises(Invalid, match=f"has no {name}: leave it out, or make the protocol HTTP") as refused:
        parse_health_check(asked)
    assert refused.value.field == f"endpoint_service.health_check.{name}"


def test_a_check_needs_a_port_that_is_published_for_tcp_or_one_of_its_own() -> None:
    udp = (make.mapping(53, 53, Protocol.UDP),)
    checked = service.Available(replace(PLAIN, health_check=TCP))
    for command, state in (
        (Create(replace(PLAIN, port_mappings=udp, health_check=TCP), NETWORK), service.Absent()),
        (Change(AT, NETWORK, health_check=TCP), service.Available(replace(PLAIN, port_mappings=udp))),
        (Change(AT, NETWORK, port_mappings=udp), checked),
    ):
        with pytest.raises(Invalid, match="name the backends' port, or leave the check away") as refused:
            service.decide(command, state)
        assert (refused.value.reason, refused.value.field) == (
            "HEALTH_PORT_MISSING",
            "endpoint_service.health_check.port",
        )
    for command in (
        Change(AT, NETWORK, port_mappings=udp, health_check=replace(TCP, port=22)),
        Change(AT, NETWORK, port_mappings=udp, health_check=UNCHECKED),
        Change(AT, NETWORK, port_mappings=(*udp, make.mapping())),
    ):
        assert service.decide(command, checked)


# ---- the domain


def test_what_is_asked_already_is_no_change() -> None:
    state = service.Available(ASKING)
    assert service.decide(Change(AT, NETWORK, session_settings=SETTINGS, health_check=HTTP), state) == []
    less = service.decide(Change(AT, NETWORK, session_settings=USUAL, health_check=HTTP), state)
    assert less == [ServiceChanged(AT, session_settings=USUAL)]
    none = service.decide(Change(AT, NETWORK, session_settings=SETTINGS, health_check=UNCHECKED), state)
    assert none == [ServiceChanged(AT, health_check=UNCHECKED)]
    assert service.of(service.DECIDER.fold(none, state)).health_check == UNCHECKED


@given(session_settings, health_checks | st.just(UNCHECKED))
def test_a_change_of_what_is_asked_is_read_as_it_was_stored(
    said: SessionSettings, asked: HealthCheck | Unchecked
) -> None:
    event = ServiceChanged(AT + 1, session_settings=said, health_check=asked)
    state = service.DECIDER.fold([event], service.Available(PLAIN))
    encoded = ServiceCodec().encode(event, state)
    assert ServiceCodec().decode(recorded(encoded.type, encoded.data)) == event
    assert service_of(RegistryEvent.FromString(encoded.data).service) == service.of(state)


# ---- the whole way


@settings(deadline=None)
@given(session_settings, health_checks | st.just(TCP) | st.just(UNCHECKED), st.tuples(*[st.integers(0, 2**62)] * 3))
def test_what_is_published_is_what_the_gateways_table_has(
    said: SessionSettings, asked: HealthCheck | Unchecked, limits: tuple[int, int, int]
) -> None:
    mappings = (make.mapping(53, 53, Protocol.UDP), make.mapping(443, 8443), make.mapping(80, 8080))
    published = replace(
        make.service(mappings=mappings),
        session_settings=said,
        health_check=asked,
        consumer_limits=ConsumerLimits(7, *limits),
    )
    forwarded = published_of(service_message(service.Available(published))).in_cell("default")
    event = ForwardingCodec().encode(ServiceForwardingChanged(forwarded), forwarded)
    assert ForwardingCodec().decode(recorded(event.type, event.data)).entry == forwarded
    news = news_of_event(event.data, "gw-1")
    assert news is not None
    made = news.content
    assert isinstance(made, table.Service)
    assert made.timeouts == table.Timeouts(
        said.tcp_established, said.tcp_half_open, said.tcp_closed, said.udp_two_way, said.udp_one_way
    )
    assert (made.affinity.value, made.reset_expired) == (said.affinity.value, said.reset_expired)
    assert made.limits == table.Limits(*limits)
    if isinstance(asked, Unchecked):
        assert made.health_check is None
    else:
        assert made.health_check == table.HealthCheck(
            protocol=table.HealthProtocol(asked.protocol.value),
            port=asked.port or 8443,
            path=asked.path,
            statuses=asked.statuses,
            interval=asked.interval,
            timeout=asked.timeout,
            healthy_after=asked.healthy_after,
            unhealthy_after=asked.unhealthy_after,
        )


def test_a_check_that_has_no_port_to_ask_is_none_for_gateways() -> None:
    """The registry lets none come about; a service goes on without it."""
    message = service_message(service.Available(replace(PLAIN, health_check=TCP)))
    message.port_mappings[0].protocol = service_pb.PortMapping.PROTOCOL_UDP
    assert published_of(message).health_check is None
