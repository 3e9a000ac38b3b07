"""Names that come and go, ports that backends are of, and everybody by two names: decided, stored, read again."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from services.common.eventsourcing.store import Claim, RecordedEvent
from services.registry.domain import service
from services.registry.domain.publication import ALSO_EVERYBODY, Backend, Grant, full_name, may_connect, renamed
from services.registry.domain.service import DECIDER, Absent, Available
from services.registry.domain.service_commands import Change
from services.registry.domain.service_events import ServiceChanged, ServiceCreated
from services.registry.wire.services import ServiceCodec
from tests.support import registry as make
from tests.support.registry import AT, NETWORK

SERVICE = make.service()
NAMELESS = renamed(SERVICE, "")
ADDRESS, PORT = IPv4Address("10.0.0.10"), make.uuid(3)
RENAMED = ServiceChanged(AT + 1, name="till")
OF_A_PORT = ServiceChanged(AT + 2, (Backend(ADDRESS, port_id=PORT),))


def claim(name: str) -> Claim:
    return Claim("service-name", f"{SERVICE.owner}/{name}")


def test_a_full_name_has_the_name_in_it_if_there_is_one() -> None:
    assert full_name("local", "web", "7") == "local.web.7"
    assert full_name("local", "", "7") == "local.7"
    assert renamed(renamed(SERVICE, ""), SERVICE.name) == SERVICE


def test_another_name_is_claimed_and_the_old_one_let_go() -> None:
    [event] = service.decide(Change(AT, NETWORK, name="till"), Available(SERVICE))
    assert event == ServiceChanged(AT, name="till")
    moved = service.constraints(Available(SERVICE), event)
    assert claim("till") in moved.claims
    assert claim(SERVICE.name) in moved.releases
    after = service.of(service.evolve(Available(SERVICE), event))
    assert (after.name, after.full_name) == ("till", f"{SERVICE.full_name.partition('.')[0]}.till.{SERVICE.id}")
    assert service.decide(Change(AT, NETWORK, name="till"), Available(after)) == []


def test_services_without_a_name_do_not_stand_in_each_others_way() -> None:
    created = service.constraints(Absent(), ServiceCreated(NAMELESS))
    assert not [each for each in created.claims if each.kind == "service-name"]
    [named] = service.decide(Change(AT, NETWORK, name="web"), Available(NAMELESS))
    assert claim("web") in service.constraints(Available(NAMELESS), named).claims
    assert not [each for each in service.constraints(Available(NAMELESS), named).releases if "name" in each.kind]


def test_a_backend_stays_its_ports_when_it_is_given_by_the_ports_address() -> None:
    known = replace(SERVICE, backends=(Backend(ADDRESS, port_id=PORT),))
    drained = Change(AT, NETWORK, (Backend(ADDRESS, draining=True),))
    [event] = service.decide(drained, Available(known))
    assert event == ServiceChanged(AT, (Backend(ADDRESS, draining=True, port_id=PORT),))


@pytest.mark.parametrize("event", [RENAMED, OF_A_PORT], ids=["renamed", "of a port"])
def test_what_is_stored_is_read_again(event: ServiceChanged) -> None:
    after = DECIDER.fold([event], Available(SERVICE))
    stored = ServiceCodec().encode(event, after)
    recorded = RecordedEvent(
        1, f"service-{SERVICE.id}", 1, bytes(16), stored.type, 1, event.at, "", 0, stored.data, b"", bytes(32)
    )
    assert ServiceCodec().decode(recorded) == event


def test_everybody_has_two_names() -> None:
    open_to_all = replace(SERVICE, grants=(Grant(ALSO_EVERYBODY),))
    assert may_connect(open_to_all, "anybody")
    assert not may_connect(SERVICE, "anybody")
