"""Events of IPv6 resources: read as what they meant when they came. Those of IPv4 are what they were before."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from services.common.addressing import address_of, network_of, networks_of
from services.common.eventsourcing.aggregate import Codec
from services.common.eventsourcing.decider import Decider
from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.endpoint.domain import forwarding
from services.endpoint.domain.endpoint import ConnectionApproved, EndpointChanged, EndpointRequested
from services.endpoint.domain.endpoint_decisions import ENDPOINT
from services.endpoint.domain.facts import SourceLease
from services.endpoint.wire.endpoint import EndpointCodec, facts_of, state_of
from services.endpoint.wire.forwarding import ServiceCodec as ForwardingCodec
from services.registry.domain import port, service, vpc
from services.registry.domain.network import Subnet
from services.registry.domain.publication import Backend
from services.registry.domain.service_events import ServiceChanged, ServiceCreated, ServiceOpened
from services.registry.wire.ports import PortCodec
from services.registry.wire.services import ServiceCodec, connectable, service_message, service_of, shown
from services.registry.wire.vpcs import VpcCodec
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from tests.support import registry as make
from tests.support.endpoint import FACTS, known
from tests.support.registry import AT

GOLDEN: dict[str, str] = json.loads(Path(__file__).with_name("golden").joinpath("ipv6.json").read_text())
"""By the kind of stream and the stored name: the bytes as they were when IPv6 came. Never changed."""

SUBNET = Subnet(make.uuid(2), "six", network_of("fd00:10::/64"), AT, dns_servers=(address_of("fd00:10::53"),))
SERVICE = make.service("fd00:20::a", "fd00:20::b")
SIX = replace(
    FACTS,
    address=address_of("fd00:10::7"),
    allowed=networks_of(("fd00:10::/80", "fd00:10::7/128")),
    sources=(SourceLease("gw-1", IPv4Address("198.19.128.9")),),
)
FORWARDED = forwarding.ServiceForwarded(
    "default",
    FACTS.service,
    3,
    FACTS.placement.provider_vpc,
    (forwarding.Backend(address_of("fd00:20::a"), 3), forwarding.Backend(address_of("fd00:20::b"), 1, draining=True)),
    (forwarding.PortMapping(80, 8080, forwarding.Protocol.TCP),),
)


@dataclass(frozen=True, slots=True)
class Life:
    """What happened in one stream, and how it is stored."""

    kind: str
    decider: Decider[Any, Any, Any]
    codec: Codec[Any, Any]
    events: Sequence[Any]

    def stored(self) -> list[NewEvent]:
        state, found = self.decider.initial, []
        for event in self.events:
            state = self.decider.evolve(state, event)
            found.append(self.codec.encode(event, state))
        return found


LIVES = (
    Life(
        "vpc",
        vpc.DECIDER,
        VpcCodec(),
        [vpc.VpcCreated(make.vpc("10.0.0.0/24", "fd00:10::/48")), vpc.SubnetCreated(SUBNET)],
    ),
    Life("port", port.DECIDER, PortCodec(), [port.PortReserved(make.port("fd00:10::7", port.Endpoint(make.uuid(9))))]),
    Life(
        "service",
        service.DECIDER,
        ServiceCodec(),
        [
            ServiceCreated(SERVICE),
            ServiceOpened(AT + 1),
            ServiceChanged(AT + 2, (Backend(address_of("fd00:20::c"), 7),)),
        ],
    ),
    Life(
        "endpoint",
        ENDPOINT,
        EndpointCodec(),
        [
            EndpointRequested(SIX),
            ConnectionApproved(2_000),
            EndpointChanged(3_000, allowed=networks_of(("fd00:10::/64",))),
        ],
    ),
    Life("forwarding", forwarding.SERVICE, ForwardingCodec(), [forwarding.ServiceForwardingChanged(FORWARDED)]),
)
STORED = {
    f"{life.kind} {stored.type}": (life, event, stored)
    for life in LIVES
    for event, stored in zip(life.events, life.stored(), strict=True)
}


def recorded(event: NewEvent, stream: str = "service-1") -> RecordedEvent:
    return RecordedEvent(1, stream, 1, bytes(16), event.type, 1, AT, "", 0, event.data, b"", bytes(32))


def test_there_are_golden_bytes_of_every_event_here() -> None:
    assert set(GOLDEN) == set(STORED)


@pytest.mark.parametrize("name", sorted(STORED))
def test_an_event_is_stored_as_it_was_when_ipv6_came_and_read_as_what_it_meant(name: str) -> None:
    life, event, stored = STORED[name]
    assert stored.data.hex() == GOLDEN[name]
    assert life.codec.decode(recorded(NewEvent(stored.type, bytes.fromhex(GOLDEN[name])))) == event


def test_an_endpoint_is_read_from_its_last_event_alone() -> None:
    life = LIVES[3]
    last = life.stored()[-1]
    after = known(ENDPOINT.fold(life.events))
    assert facts_of(EndpointEvent.FromString(last.data)) == state_of(last.data).facts == after.facts


def test_a_service_says_its_ip_version_where_it_is_not_what_it_always_was() -> None:
    six, four = service.DECIDER.fold([ServiceCreated(SERVICE)]), service.DECIDER.fold([ServiceCreated(make.service())])
    assert service_message(six).ip_version == EndpointService.IP_VERSION_IPV6
    assert service_message(four).ip_version == EndpointService.IP_VERSION_UNSPECIFIED, "bytes of IPv4 are as before"
    assert service_of(service_message(six)).ip_version == 6
    for state, version in ((six, EndpointService.IP_VERSION_IPV6), (four, EndpointService.IP_VERSION_IPV4)):
        assert connectable(service_message(state)).ip_version == version
        assert shown(service_message(state)).ip_version == version
