"""Rejections and deletions that let sessions drain: who is told what, when it ends, and what is freed after it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.clock import SECOND
from services.common.errors import NotFound
from services.endpoint.application.limits import Limits
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb
from tests.integration.test_endpoint_feed import key
from tests.support.endpoint_service import SERVICE, EndpointWorld, endpoint_world, start

CREATING, REJECTED = endpoint_pb.CONNECTION_STATE_CREATING, endpoint_pb.CONNECTION_STATE_REJECTED
DELETING = endpoint_pb.CONNECTION_STATE_DELETING


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EndpointWorld]:
    async with endpoint_world(tmp_path) as world:
        await world.join()
        yield world


async def accepted(world: EndpointWorld) -> str:
    """A new endpoint that its gateway forwards."""
    created = await world.create(SERVICE)
    await world.accept(created.id)
    await world.forwarding(created.id)
    return created.id


async def told(world: EndpointWorld, endpoint: str) -> forwarding_pb.EndpointForwarding:
    """What gateways are told of it."""
    entries = {key(entry): entry for entry in (await world.app.feed.snapshot("default")).entries()}
    return entries[endpoint].endpoint


async def pass_time(world: EndpointWorld, seconds: int) -> None:
    world.clock.advance(seconds)
    await world.beat()
    await world.app.expiries.tick()


async def test_a_rejection_with_a_drain_is_seen_at_once_and_ended_by_an_event_at_its_moment(
    world: EndpointWorld,
) -> None:
    id_ = await accepted(world)
    until = world.clock() + 20 * SECOND
    rejected = await world.reject(id_, drain=20 * SECOND)
    assert (rejected.state, rejected.drain_end_time.ToNanoseconds()) == (REJECTED, until)
    seen, entry = await world.get(id_), await told(world, id_)
    assert (seen.state, seen.drain_end_time.ToNanoseconds()) == (REJECTED, until)
    assert (entry.removed, entry.draining_until, entry.generation) == (True, until, seen.generation)

    await pass_time(world, 19)
    assert (await world.get(id_)).HasField("drain_end_time")
    await pass_time(world, 1)
    ended, entry = await world.get(id_), await told(world, id_)
    assert (ended.state, ended.HasField("drain_end_time")) == (REJECTED, False)
    assert (entry.removed, entry.draining_until, entry.generation) == (True, 0, seen.generation + 1)
    assert (await world.types(f"endpoint-{id_}"))[-2:] == ["Rejected", "DrainEnded"]


async def test_a_drain_ends_also_after_a_restart_and_once(world: EndpointWorld) -> None:
    rejected, deleted = await accepted(world), await accepted(world)
    await world.reject(rejected, drain=20 * SECOND)
    await world.delete(deleted, drain=20 * SECOND)
    again = await start(world.store, world.registry, world.clock, Limits())
    world.clock.advance(20)
    await again.app.expiries.tick()
    events = await world.types()
    assert events[-2:] == ["DrainEnded", "DrainEnded"]
    await again.app.expiries.tick()
    await world.app.expiries.tick()
    assert await world.types() == events


async def test_an_address_is_kept_until_every_gateway_says_that_nothing_is_left(world: EndpointWorld) -> None:
    await world.join("gw-2")
    created = await world.create(SERVICE)
    await world.accept(created.id)
    for gateway in ("gw-1", "gw-2"):
        await world.forwarding(created.id, gateway)
    deleting = await world.delete(created.id, drain=20 * SECOND)
    assert (deleting.state, deleting.HasField("drain_end_time")) == (DELETING, True)
    for gateway in ("gw-1", "gw-2"):
        await world.forwarding(created.id, gateway)
    await pass_time(world, 20)
    assert (await world.get(created.id)).state == DELETING
    await world.absent(created.id, "gw-1", deleting.generation)
    await world.absent(created.id, "gw-2", deleting.generation)
    assert (await world.get(created.id)).state == DELETING, "of an earlier generation"
    await world.absent(created.id, "gw-1")
    assert (await world.get(created.id)).state == DELETING
    await world.absent(created.id, "gw-2")
    with pytest.raises(NotFound):
        await world.get(created.id)


async def test_an_acceptance_calls_a_drain_off(world: EndpointWorld) -> None:
    id_ = await accepted(world)
    before = await told(world, id_)
    await world.reject(id_, drain=20 * SECOND)
    again = await world.accept(id_)
    assert (again.state, again.HasField("drain_end_time")) == (CREATING, False)
    entry = await told(world, id_)
    assert (entry.removed, entry.draining_until, entry.admission) == (False, 0, before.admission)
    await world.forwarding(id_)
    await pass_time(world, 20)
    assert "DrainEnded" not in await world.types(f"endpoint-{id_}")


async def test_sessions_that_drain_stand_in_the_way_of_their_services_deletion_and_are_cut_by_it(
    world: EndpointWorld,
) -> None:
    rejected, deleting = await accepted(world), await accepted(world)
    await world.reject(rejected, drain=20 * SECOND)
    await world.delete(deleting, drain=20 * SECOND)
    assert sorted(await world.app.endpoints.blockers(SERVICE)) == sorted([rejected, deleting])
    await world.app.forwarding.service_gone(SERVICE)
    assert await world.app.endpoints.blockers(SERVICE) == []
    assert (await told(world, rejected)).draining_until == (await told(world, deleting)).draining_until == 0
