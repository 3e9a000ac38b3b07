"""How backends are, as gateways report it: to whom it is shown, and to whom not, to the byte."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.eventsourcing.selection import Window
from services.endpoint.domain.backend_health import BackendHealth, Condition
from services.endpoint.domain.presence import NOT_WELL
from services.endpoint.wire.backend_health import backends_of, gateway_health
from sidegate.api.gateway.v1 import backend_health_pb2 as reported_pb
from tests.support.endpoint_service import (
    CONSUMER,
    OPEN_SERVICE,
    PROVIDER,
    SERVICE,
    STRANGER,
    EndpointWorld,
    endpoint_world,
)

SINCE = 1_700_000_000_000_000_000
WELL = BackendHealth("10.99.0.1", Condition.WELL, SINCE, takes_sessions=True, median=1_250_000)
UNHEALTHY = BackendHealth(
    "10.99.0.2", Condition.UNHEALTHY, SINCE + 1, error="HTTP status 503 from port 8123", error_at=SINCE + 2
)
SECRETS = (b"10.99.0", b"\x0a\x63\x00", b"503", b"8123")
"""Of the service's network, and of what its backends say."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EndpointWorld]:
    async with endpoint_world(tmp_path) as world:
        yield world


async def say(world: EndpointWorld, *backends: BackendHealth, gateway: str = "gw-1", of: str = OPEN_SERVICE) -> bool:
    return await world.app.cells.report(gateway, world.sessions[gateway], [], {of: backends})


async def accepted(world: EndpointWorld) -> str:
    await world.join()
    created = await world.create()
    await world.forwarding(created.id)
    return created.id


async def test_owners_read_each_backend_and_consumers_not_even_how_many_there_are(world: EndpointWorld) -> None:
    endpoint = await accepted(world)
    before = await world.get(endpoint)
    assert await say(world, WELL, UNHEALTHY)
    assert await world.app.health.of(OPEN_SERVICE, PROVIDER) == {"gw-1": (WELL, UNHEALTHY)}
    assert await world.get(endpoint) == before
    (listed,) = [each for _, each in (await world.app.endpoints.listed(CONSUMER, Window(10))).rows]
    assert listed == before


async def test_nobody_but_the_owner_reads_anything_of_backends(world: EndpointWorld) -> None:
    endpoint = await accepted(world)
    before = len(await world.types())
    await say(world, replace(UNHEALTHY, takes_sessions=True))
    for other in (CONSUMER, STRANGER):
        assert await world.app.health.of(OPEN_SERVICE, other) == {}
    assert await world.app.health.of(SERVICE, PROVIDER) == {}, "it has no endpoint"
    shown = await world.get(endpoint)
    assert (shown.ready.status, shown.ready.reason) == (False, NOT_WELL)
    assert shown.ready.since.ToNanoseconds() == UNHEALTHY.since
    for field in ("id", "port_id", "marker_id"):
        shown.ClearField(field)  # made at random: one in a hundred has such digits
    for secret in SECRETS:
        assert secret not in shown.SerializeToString()
    told = gateway_health("gw-1", (await world.app.health.of(OPEN_SERVICE, PROVIDER))["gw-1"]).SerializeToString()
    for secret in (b"198.51.100", CONSUMER.account.encode(), CONSUMER.project.encode(), shown.address.encode()):
        assert secret not in told
    assert len(await world.types()) == before, "what checks find is no event"


async def test_what_a_gateway_said_ends_with_its_membership(world: EndpointWorld) -> None:
    await accepted(world)
    await world.join("gw-2")
    await say(world, WELL, UNHEALTHY)
    await say(world, WELL, WELL, gateway="gw-2")
    assert {*await world.app.health.of(OPEN_SERVICE, PROVIDER)} == {"gw-1", "gw-2"}
    await world.join("gw-1")
    assert await world.app.health.of(OPEN_SERVICE, PROVIDER) == {"gw-2": (WELL, WELL)}
    world.clock.advance(20)
    await world.app.cells.report("gw-1", world.sessions["gw-1"], [])
    world.clock.advance(15)
    await world.app.cells.tick()
    assert await world.app.health.of(OPEN_SERVICE, PROVIDER) == {}, "gw-2 is lost"
    assert not await say(world, WELL, gateway="gw-2")


async def test_a_retired_gateway_is_forgotten_and_one_of_no_session_is_not_heard(world: EndpointWorld) -> None:
    await accepted(world)
    await say(world, WELL)
    assert not await world.app.cells.report("gw-1", "another", [], {OPEN_SERVICE: (UNHEALTHY,)})
    assert await world.app.health.of(OPEN_SERVICE, PROVIDER) == {"gw-1": (WELL,)}
    await world.app.cells.retire("gw-1")
    assert await world.app.health.of(OPEN_SERVICE, PROVIDER) == {}


async def test_a_gateway_has_nothing_to_say_of_a_service_that_its_cell_was_not_told_of(world: EndpointWorld) -> None:
    await accepted(world)
    await say(world, WELL, of=SERVICE)
    await world.create(SERVICE)
    assert await world.app.health.of(SERVICE, PROVIDER) == {}


async def test_of_a_service_that_asks_no_more_nothing_is_known_any_more(world: EndpointWorld) -> None:
    await accepted(world)
    await say(world, WELL)
    await say(world)
    assert await world.app.health.of(OPEN_SERVICE, PROVIDER) == {}


def test_a_condition_that_is_newer_than_this_program_counts_as_unknown() -> None:
    told = reported_pb.ServiceHealthReport(backends=[reported_pb.BackendHealthReport(address="10.99.0.1")])
    assert backends_of(told) == (BackendHealth("10.99.0.1", Condition.UNKNOWN, 0),)
