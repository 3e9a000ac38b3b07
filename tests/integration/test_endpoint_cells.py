"""Gateways and time: reports, leases, fences and deadlines, and what follows from them for endpoints."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.clock import SECOND
from services.common.errors import WrongState
from services.common.eventsourcing.selection import Window
from services.endpoint.application.limits import Limits
from services.endpoint.domain.presence import Presence
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from tests.support.endpoint_service import CONSUMER, PAYMENTS_VPC, SERVICE, EndpointWorld, endpoint_world, start

ACCEPTED = endpoint_pb.CONNECTION_STATE_ACCEPTED
CREATING = endpoint_pb.CONNECTION_STATE_CREATING
REJECTED = endpoint_pb.CONNECTION_STATE_REJECTED
FAILED = endpoint_pb.CONNECTION_STATE_FAILED
DELETING = endpoint_pb.CONNECTION_STATE_DELETING


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EndpointWorld]:
    async with endpoint_world(tmp_path) as world:
        yield world


async def test_a_report_of_its_only_gateway_accepts_an_endpoint_at_once(world: EndpointWorld) -> None:
    await world.join()
    created = await world.create()
    await world.forwarding(created.id)
    accepted = await world.get(created.id)
    assert accepted.state == ACCEPTED
    assert accepted.ready.status
    assert accepted.applied_generation == accepted.generation == created.generation


async def test_accepted_needs_every_joined_gateway(world: EndpointWorld) -> None:
    await world.join("gw-1")
    await world.join("gw-2")
    created = await world.create()
    await world.forwarding(created.id, "gw-1")
    assert (await world.get(created.id)).state == CREATING
    await world.forwarding(created.id, "gw-2")
    assert (await world.get(created.id)).state == ACCEPTED


async def test_two_gateways_that_report_at_once_accept_once(world: EndpointWorld) -> None:
    await world.join("gw-1")
    await world.join("gw-2")
    created = await world.create()
    await asyncio.gather(world.forwarding(created.id, "gw-1"), world.forwarding(created.id, "gw-2"))
    assert (await world.types(f"endpoint-{created.id}")).count("Activated") == 1


async def test_a_lost_gateway_no_longer_stands_in_the_way_of_acceptance(world: EndpointWorld) -> None:
    await world.join("gw-1")
    await world.join("gw-2")
    created = await world.create()
    await world.forwarding(created.id, "gw-1")
    world.clock.advance(20)
    await world.forwarding(created.id, "gw-1")
    world.clock.advance(15)
    await world.app.cells.tick()
    assert (await world.types())[-2:] == ["GatewayLost", "Activated"]


async def test_deletion_needs_joined_and_lost_gateways(world: EndpointWorld) -> None:
    await world.join("gw-1")
    await world.join("gw-2")
    created = await world.create()
    await world.delete(created.id)
    await world.absent(created.id, "gw-1")
    world.clock.advance(20)
    await world.absent(created.id, "gw-1")
    world.clock.advance(15)
    await world.app.cells.tick()
    assert (await world.get(created.id)).state == DELETING
    await world.join("gw-2")
    await world.absent(created.id, "gw-2")
    assert await world.app.endpoints.there([created.id]) == []


async def test_a_lost_gateway_that_has_fenced_itself_is_waited_for_no_longer(world: EndpointWorld) -> None:
    await world.join()
    created = await world.create()
    await world.delete(created.id)
    world.clock.advance(30)
    await world.app.cells.tick()
    world.clock.advance(3599)
    await world.app.cells.tick()
    assert (await world.get(created.id)).state == DELETING
    world.clock.advance(1)
    await world.app.cells.tick()
    assert await world.app.endpoints.there([created.id]) == []


async def test_a_retired_gateway_is_waited_for_no_longer_and_may_not_come_back(world: EndpointWorld) -> None:
    await world.join()
    created = await world.create()
    await world.delete(created.id)
    await world.app.cells.retire("gw-1")
    assert await world.app.endpoints.there([created.id]) == []
    with pytest.raises(WrongState, match="retired"):
        await world.join()


async def test_without_any_gateway_a_deletion_completes_by_itself(world: EndpointWorld) -> None:
    created = await world.create()
    deleting = await world.delete(created.id)
    assert deleting.state == DELETING
    assert (await world.types())[-2:] == ["DeletionRequested", "Deleted"]
    assert (await world.delete(created.id)).state == endpoint_pb.CONNECTION_STATE_DELETED


async def test_a_report_of_an_earlier_generation_changes_nothing(world: EndpointWorld) -> None:
    await world.join()
    created = await world.create(SERVICE)
    await world.accept(created.id)
    await world.reject(created.id)
    await world.accept(created.id)
    present = (await world.get(created.id)).generation
    for generation in range(present):
        await world.forwarding(created.id, generation=generation)
    assert (await world.get(created.id)).state == CREATING
    await world.forwarding(created.id, generation=present)
    assert (await world.get(created.id)).state == ACCEPTED


async def test_a_late_report_of_forwarding_does_not_undo_a_rejection_or_a_deletion(world: EndpointWorld) -> None:
    await world.join()
    created = await world.create(SERVICE)
    await world.accept(created.id)
    generation = (await world.get(created.id)).generation
    await world.reject(created.id)
    await world.forwarding(created.id, generation=generation)
    assert (await world.get(created.id)).state == REJECTED
    await world.delete(created.id)
    await world.forwarding(created.id, generation=generation)
    await world.absent(created.id, generation=generation)
    assert (await world.get(created.id)).state == DELETING


async def test_a_report_under_an_unknown_session_is_not_taken_in(world: EndpointWorld) -> None:
    await world.join()
    created = await world.create()
    world.sessions["gw-1"] = "another"
    assert not await world.say(created.id, Presence.FORWARDING)
    assert (await world.get(created.id)).state == CREATING


async def test_a_new_session_makes_the_earlier_one_void_and_what_it_said(world: EndpointWorld) -> None:
    await world.join()
    created = await world.create()
    await world.forwarding(created.id)
    earlier = world.sessions["gw-1"]
    await world.join()
    assert not (await world.get(created.id)).ready.status
    assert not await world.app.cells.report("gw-1", earlier, [])


async def test_a_gateway_of_another_cell_says_nothing_about_an_endpoint(world: EndpointWorld) -> None:
    await world.join("gw-1")
    await world.join("gw-2", "elsewhere")
    created = await world.create()
    await world.forwarding(created.id, "gw-2")
    assert (await world.get(created.id)).state == CREATING


async def test_reports_of_endpoints_that_are_not_there_are_forgotten(world: EndpointWorld) -> None:
    await world.join()
    assert await world.say("77777777-7777-4777-8777-777777777777", Presence.ABSENT)
    assert await world.types() == ["GatewayJoined"]


async def test_a_hindrance_is_a_condition_and_no_event(world: EndpointWorld) -> None:
    await world.join()
    created = await world.create()
    await world.forwarding(created.id)
    events = await world.types()
    world.clock.advance(5)
    await world.say(created.id, Presence.HINDERED, reason="backends of the service do not answer a gateway")
    hindered = await world.get(created.id)
    assert await world.types() == events
    assert hindered.state == ACCEPTED
    assert hindered.ready.reason == "backends of the service do not answer a gateway"
    assert hindered.ready.since.ToNanoseconds() == world.clock()


async def test_the_condition_is_in_lists_too(world: EndpointWorld) -> None:
    await world.join()
    created = await world.create()
    await world.forwarding(created.id)
    (listed,) = (await world.app.endpoints.listed(CONSUMER, Window(10))).items
    assert listed == await world.get(created.id)


async def test_a_lease_that_is_not_renewed_runs_out_and_one_that_is_does_not(world: EndpointWorld) -> None:
    await world.join("gw-1")
    await world.join("gw-2")
    silent = world.sessions.pop("gw-2")
    for _ in range(4):
        world.clock.advance(10)
        await world.beat()
        await world.app.cells.tick()
    assert (await world.types()).count("GatewayLost") == 1
    assert world.app.cells.joined("default") == {"gw-1"}
    assert not await world.app.cells.report("gw-2", silent, [])


async def test_a_gateway_that_stays_away_after_a_restart_of_the_service_is_lost(world: EndpointWorld) -> None:
    await world.join()
    world.clock.advance(1000)
    again = await start(world.store, world.registry, world.clock, Limits())
    await again.app.cells.tick()
    assert again.app.cells.joined("default") == {"gw-1"}
    assert not await again.app.cells.report("gw-1", world.sessions["gw-1"], [])
    world.clock.advance(30)
    await again.app.cells.tick()
    assert again.app.cells.joined("default") == frozenset()


async def test_an_endpoint_that_is_creating_for_too_long_fails(world: EndpointWorld) -> None:
    await world.join()
    created = await world.create()
    for _ in range(11):
        world.clock.advance(10)
        await world.beat()
        await world.app.cells.tick()
    assert (await world.get(created.id)).state == CREATING
    world.clock.advance(10)
    await world.app.cells.tick()
    failed = await world.get(created.id)
    assert (failed.state, failed.failure) == (FAILED, "its gateways did not forward it within 120 s")


async def test_the_deadline_counts_from_the_approval(world: EndpointWorld) -> None:
    created = await world.create(SERVICE)
    world.clock.advance(1000)
    await world.accept(created.id)
    world.clock.advance(119)
    await world.app.cells.tick()
    assert (await world.get(created.id)).state == CREATING
    world.clock.advance(1)
    await world.app.cells.tick()
    assert (await world.get(created.id)).state == FAILED


async def test_a_gateway_that_joins_gets_source_addresses_for_what_is_live(world: EndpointWorld) -> None:
    pending, creating, deleted = await world.create(SERVICE), await world.create(), await world.create()
    await world.delete(deleted.id)
    world.clock.advance(7)
    await world.join()
    holders = await world.store.holders("source-address", f"{PAYMENTS_VPC}/")
    assert sorted(holders.values()) == sorted([f"endpoint-{pending.id}", f"endpoint-{creating.id}"])
    leased = await world.get(creating.id)
    assert leased.generation == creating.generation + 1
    assert leased.update_time.ToNanoseconds() == world.clock()


async def test_a_gateway_that_comes_back_gets_addresses_for_what_came_meanwhile(world: EndpointWorld) -> None:
    await world.join()
    world.clock.advance(30)
    await world.app.cells.tick()
    created = await world.create()
    assert await world.store.holders("source-address", f"{PAYMENTS_VPC}/") == {}
    await world.join()
    holders = await world.store.holders("source-address", f"{PAYMENTS_VPC}/")
    assert list(holders.values()) == [f"endpoint-{created.id}"]


async def test_source_addresses_are_free_again_when_the_endpoint_is_deleted(world: EndpointWorld) -> None:
    await world.join()
    created = await world.create()
    await world.delete(created.id)
    assert len(await world.store.holders("source-address", f"{PAYMENTS_VPC}/")) == 1
    await world.absent(created.id)
    assert await world.store.holders("source-address", f"{PAYMENTS_VPC}/") == {}
    assert len(await world.store.holders("marker", "")) == 1


async def test_a_gateway_cannot_be_in_two_cells(world: EndpointWorld) -> None:
    await world.join()
    with pytest.raises(WrongState, match="belongs to cell default"):
        await world.join("gw-1", "elsewhere")
    assert await world.app.cells.report("gw-1", world.sessions["gw-1"], [])


async def test_the_fence_time_is_on_record(world: EndpointWorld) -> None:
    await world.join()
    world.clock.advance(30)
    await world.app.cells.tick()
    again = await start(world.store, world.registry, world.clock, Limits())
    created = await again.create()
    await again.delete(created.id)
    world.clock.now += 3600 * SECOND - 1
    await again.app.cells.tick()
    assert (await again.get(created.id)).state == DELETING
    world.clock.now += 1
    await again.app.cells.tick()
    assert await again.app.endpoints.there([created.id]) == []
