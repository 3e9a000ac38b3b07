"""What a service asks of gateways, through the registry: said, shown, changed by several at once, refused."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sidegate import conditions, errors
from sidegate.api.registry.v1.endpoint_service_pb2 import (
    ConsumerLimits,
    EndpointService,
    HealthCheck,
    PortMapping,
    SessionSettings,
)
from sidegate.client import Client
from sidegate.resources.history import When
from sidegate.resources.service_changes import Changes
from tests.support.identity import Known
from tests.support.registry_service import PAYMENTS, RegistryWorld, running_registry

SETTINGS = SessionSettings(tcp_established_seconds=600, affinity=SessionSettings.AFFINITY_SOURCE_ADDRESS)
HTTP = HealthCheck(protocol=HealthCheck.PROTOCOL_HTTP, port=8080, path="/healthz")
EFFECTIVE = SessionSettings(
    tcp_established_seconds=600,
    tcp_half_open_seconds=30,
    tcp_closed_seconds=10,
    udp_two_way_seconds=120,
    udp_one_way_seconds=30,
    affinity=SessionSettings.AFFINITY_SOURCE_ADDRESS,
)
ASKED = HealthCheck(
    protocol=HealthCheck.PROTOCOL_HTTP,
    port=8080,
    path="/healthz",
    first_status=200,
    last_status=399,
    interval_seconds=5,
    timeout_seconds=2,
    healthy_after=2,
    unhealthy_after=2,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RegistryWorld]:
    async with running_registry(tmp_path) as running:
        yield running


@pytest.fixture
async def owner(world: RegistryWorld) -> AsyncIterator[Client]:
    account, project = PAYMENTS.account, PAYMENTS.project
    async with Known(world.address, world.address, account=account, project=project) as client:
        yield client


async def test_what_is_asked_is_shown_as_it_holds_and_each_part_changes_by_itself(world: RegistryWorld) -> None:
    made = await world.payments.service(await world.payments.vpc())
    assert not made.HasField("session_settings")
    assert not made.HasField("health_check")
    wanted = EndpointService(id=made.id, session_settings=SETTINGS, health_check=HTTP)
    asked = await world.payments.change_service(wanted, "session_settings", "health_check")
    assert (asked.session_settings, asked.health_check, asked.version) == (EFFECTIVE, ASKED, made.version + 1)
    again = await world.payments.change_service(asked, "session_settings", "health_check")
    assert again == asked, "what is shown, said again, is no change"
    without = await world.payments.change_service(EndpointService(id=made.id), "health_check")
    assert (without.HasField("health_check"), without.session_settings) == (False, EFFECTIVE)
    usual = await world.payments.change_service(EndpointService(id=made.id), "session_settings")
    assert not usual.HasField("session_settings")
    assert (usual.version, await world.payments.get_service(made.id)) == (made.version + 3, usual)


@pytest.mark.parametrize(
    ("wanted", "path", "field", "words"),
    [
        (
            EndpointService(session_settings=SessionSettings(tcp_established_seconds=59)),
            "session_settings",
            "session_settings.tcp_established_seconds",
            "60 and less than or equal to 86400",
        ),
        (
            EndpointService(health_check=HealthCheck(interval_seconds=1, timeout_seconds=2)),
            "health_check",
            "health_check.timeout_seconds",
            "wait shorter, or ask less often",
        ),
        (
            EndpointService(health_check=HealthCheck(path="/")),
            "health_check",
            "health_check.path",
            "leave it out, or make the protocol HTTP",
        ),
        (EndpointService(consumer_limits=ConsumerLimits(bits_per_second=-1)), "consumer_limits", "", "bits_per_second"),
        (EndpointService(name="a b"), "name", "name", "name"),
    ],
)
async def test_a_bad_change_of_what_is_asked_is_refused_with_its_field_and_the_way_out(
    world: RegistryWorld, wanted: EndpointService, path: str, field: str, words: str
) -> None:
    made = await world.payments.service(await world.payments.vpc())
    request = EndpointService(id=made.id)
    request.MergeFrom(wanted)
    with pytest.raises(errors.InvalidRequest, match=words) as refused:
        await world.payments.change_service(request, path)
    assert refused.value.field.startswith(f"endpoint_service.{field}")
    assert await world.payments.get_service(made.id) == made


async def test_the_port_that_a_check_asks_cannot_go_while_it_asks_it(world: RegistryWorld) -> None:
    made = await world.payments.service(await world.payments.vpc())
    checked = await world.payments.change_service(
        EndpointService(id=made.id, health_check=HealthCheck()), "health_check"
    )
    assert (checked.health_check.protocol, checked.health_check.port) == (HealthCheck.PROTOCOL_TCP, 0)
    udp = PortMapping(client_port=53, server_port=53, protocol=PortMapping.PROTOCOL_UDP)
    wanted = EndpointService(id=made.id, port_mappings=[udp])
    with pytest.raises(errors.InvalidRequest) as refused:
        await world.payments.change_service(wanted, "port_mappings")
    assert (refused.value.reason, refused.value.field) == (
        "HEALTH_PORT_MISSING",
        "endpoint_service.health_check.port",
    )
    wanted.health_check.port = 9000
    both = await world.payments.change_service(wanted, "port_mappings", "health_check")
    assert both.health_check.port == 9000


def part(name: str, value: int) -> Callable[[EndpointService], Changes]:
    """Changes one number of the settings, and leaves the others as they were read."""

    def changes(known: EndpointService) -> Changes:
        made = SessionSettings()
        made.CopyFrom(known.session_settings)
        setattr(made, name, value)
        return {"session_settings": made}

    return changes


async def test_of_many_who_change_a_part_at_once_nobody_undoes_anothers(world: RegistryWorld, owner: Client) -> None:
    made = await world.payments.service(await world.payments.vpc())
    wanted = {
        "tcp_established_seconds": 601,
        "tcp_half_open_seconds": 31,
        "tcp_closed_seconds": 11,
        "udp_two_way_seconds": 121,
        "udp_one_way_seconds": 33,
    }
    await asyncio.gather(*(owner.services.revise(made.id, part(name, value)) for name, value in wanted.items()))
    found = await owner.services.get(made.id)
    assert {name: getattr(found.session_settings, name) for name in wanted} == wanted
    assert found.version == made.version + len(wanted)


async def test_a_part_that_is_bound_to_an_etag_is_changed_once_or_not_at_all(
    world: RegistryWorld, owner: Client
) -> None:
    made = await world.payments.service(await world.payments.vpc())
    with conditions.under(etag=made.etag):
        first = await owner.services.revise(made.id, part("udp_one_way_seconds", 40))
        asked = list[EndpointService]()
        with pytest.raises(errors.Outdated):
            await owner.services.revise(made.id, lambda known: asked.append(known) or {"description": "late"})  # type: ignore[func-returns-value] # to count
    assert len(asked) == 1, "an etag of the caller's own fits no better the second time"
    assert await owner.services.get(made.id) == first
    with conditions.under(validate_only=True):
        tried = await owner.services.revise(made.id, part("udp_one_way_seconds", 50))
    assert tried.session_settings.udp_one_way_seconds == 50
    assert await owner.services.get(made.id) == first


async def test_what_was_asked_at_any_position_is_shown_as_it_was_then(world: RegistryWorld) -> None:
    made = await world.payments.service(await world.payments.vpc())
    steps: list[tuple[Any, str]] = [
        ({"session_settings": SETTINGS}, "session_settings"),
        ({"health_check": HTTP}, "health_check"),
        ({}, "session_settings"),
        ({}, "health_check"),
    ]
    then = {(await world.store.head()).position: made}
    for said, path in steps:
        shown = await world.payments.change_service(EndpointService(id=made.id, **said), path)
        then[(await world.store.head()).position] = shown
    assert len({each.SerializeToString() for each in then.values()}) == len(steps) + 1
    await world.store.rebuild()
    async with Known(world.address, world.address, account="operator", project="x") as operator:
        for position, shown in then.items():
            state = await operator.history.resource("service", made.id, When(position))
            assert [each.service for each in state.states] == [shown]
