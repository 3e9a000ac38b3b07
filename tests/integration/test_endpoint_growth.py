"""More source addresses where sessions need them: who is given how many, and what is said where there are none."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.eventsourcing.store import AlreadyClaimed
from services.endpoint.application.streams import Streams, no_answer, on_our_own
from services.endpoint.domain import source_addresses
from services.endpoint.domain.demand import Shortage
from services.endpoint.domain.endpoint_commands import AddSources
from services.endpoint.domain.presence import Presence
from services.endpoint.source_numbers import SourceNumbers
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent
from tests.support.endpoint_service import PAYMENTS_VPC, SERVICE, EndpointWorld, endpoint_world
from tests.support.metrics import value
from tests.support.stores import whole_log


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EndpointWorld]:
    async with endpoint_world(tmp_path) as world:
        yield world


async def accepted(world: EndpointWorld) -> Endpoint:
    created = await world.create()
    await world.forwarding(created.id)
    return await world.get(created.id)


async def want(
    world: EndpointWorld, endpoint: str, number: int, gateway: str = "gw-1", generation: int | None = None
) -> None:
    """The gateway says that its sessions need so many; then what follows from it is let happen."""
    said = {"gateway": gateway, "generation": generation, "sources_wanted": number}
    assert await world.say(endpoint, Presence.FORWARDING, **said)  # type: ignore[arg-type] # as they are named above
    await world.upkeep.errands()


async def sources(world: EndpointWorld, endpoint: str, gateway: str = "gw-1") -> list[str]:
    """What gateways are told: the addresses of one of them, in order."""
    *_, last = await world.store.load(f"endpoint-{endpoint}")
    leases = EndpointEvent.FromString(last.data).forwarding.endpoint.sources
    return [lease.address for lease in leases if lease.gateway_id == gateway]


async def test_an_endpoint_is_given_twice_as_many_for_each_report_and_64_at_most(world: EndpointWorld) -> None:
    await world.join()
    endpoint = await accepted(world)
    had = await sources(world, endpoint.id)
    numbers = []
    for _ in range(8):
        await want(world, endpoint.id, 1000)
        now = await sources(world, endpoint.id)
        assert now[: len(had)] == had, "what was there stays where it was"
        had = now
        numbers.append(len(now))
    assert numbers == [2, 4, 8, 16, 32, 64, 64, 64]
    assert len(set(had)) == 64
    assert (await world.types(f"endpoint-{endpoint.id}")).count("SourcesAdded") == 6
    holders = await world.store.holders("source-address", f"{PAYMENTS_VPC}/")
    assert set(holders) == {f"{PAYMENTS_VPC}/{address}" for address in had}


async def test_forwarding_changes_and_no_session_is_cut(world: EndpointWorld) -> None:
    await world.join()
    endpoint = await accepted(world)
    before = EndpointEvent.FromString((await world.store.load(f"endpoint-{endpoint.id}"))[-1].data)
    await want(world, endpoint.id, 2)
    after = EndpointEvent.FromString((await world.store.load(f"endpoint-{endpoint.id}"))[-1].data)
    assert after.forwarding.endpoint.generation == before.forwarding.endpoint.generation + 1
    assert after.forwarding.endpoint.admission == before.forwarding.endpoint.admission
    assert after.endpoint.state == before.endpoint.state
    assert (await world.get(endpoint.id)).sources.status


async def test_a_report_that_was_made_before_the_last_addresses_came_is_not_for_more(world: EndpointWorld) -> None:
    await world.join()
    endpoint = await accepted(world)
    await want(world, endpoint.id, 64)
    await want(world, endpoint.id, 64, generation=endpoint.generation)
    assert len(await sources(world, endpoint.id)) == 2


async def test_each_gateway_has_its_own(world: EndpointWorld) -> None:
    await world.join("gw-1")
    await world.join("gw-2")
    endpoint = await world.create()
    for gateway in ("gw-1", "gw-2"):
        await world.forwarding(endpoint.id, gateway)
    await want(world, endpoint.id, 4, "gw-2")
    await want(world, endpoint.id, 4, "gw-2")
    one, two = [await sources(world, endpoint.id, gateway) for gateway in ("gw-1", "gw-2")]
    assert (len(one), len(two), len({*one, *two})) == (1, 4, 5)


async def test_what_is_not_forwarded_is_given_nothing(world: EndpointWorld) -> None:
    await world.join()
    pending = await world.create(SERVICE)
    await want(world, pending.id, 8)
    assert len(await sources(world, pending.id)) == 1
    assert world.app.demand.counts() == {}


async def test_all_are_free_again_when_the_endpoint_is_deleted(world: EndpointWorld) -> None:
    await world.join()
    endpoint = await accepted(world)
    await want(world, endpoint.id, 2)
    await want(world, endpoint.id, 4)
    assert len(await world.store.holders("source-address", f"{PAYMENTS_VPC}/")) == 4
    await world.delete(endpoint.id)
    await world.absent(endpoint.id)
    assert await world.store.holders("source-address", f"{PAYMENTS_VPC}/") == {}


async def test_where_none_is_free_the_endpoint_says_so_until_there_is_one(
    world: EndpointWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_addresses, "KEPT", source_addresses.SIZE - 2)
    await world.join()
    endpoint, other = await accepted(world), await accepted(world)
    world.clock.advance(5)
    await want(world, endpoint.id, 2)
    shown = await world.get(endpoint.id)
    assert (shown.sources.status, shown.sources.reason) == (False, Shortage.NONE_FREE.value)
    assert shown.sources.since.ToNanoseconds() == world.clock()
    assert shown.ready.status, "what is open goes on"
    assert len(await sources(world, endpoint.id)) == 1
    await world.delete(other.id)
    await world.absent(other.id)
    world.clock.advance(60)
    await world.beat()
    await world.app.growth.tick()
    assert len(await sources(world, endpoint.id)) == 2
    assert (await world.get(endpoint.id)).sources.status
    await world.forwarding(endpoint.id)
    assert (await world.get(endpoint.id)).sources.status


async def test_one_that_has_64_and_needs_more_says_so(world: EndpointWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_addresses, "MOST", 2)
    await world.join()
    endpoint = await accepted(world)
    await want(world, endpoint.id, 2)
    await want(world, endpoint.id, 4)
    shown = await world.get(endpoint.id)
    assert (shown.sources.status, shown.sources.reason) == (False, Shortage.AT_MOST.value)
    registry = CollectorRegistry()
    registry.register(SourceNumbers(world.app.demand))
    told = generate_latest(registry).decode()
    assert value(told, "sidegate_sources_added_total") == 1
    assert value(told, "sidegate_sources_short", why="at_most") == 1
    assert value(told, "sidegate_sources_short", why="none_free") == 0
    await want(world, endpoint.id, 0)
    assert (await world.get(endpoint.id)).sources.status


async def test_a_gateway_that_joins_again_has_said_nothing(
    world: EndpointWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_addresses, "MOST", 1)
    await world.join()
    endpoint = await accepted(world)
    await want(world, endpoint.id, 2)
    assert not (await world.get(endpoint.id)).sources.status
    await world.join()
    assert (await world.get(endpoint.id)).sources.status


async def test_two_endpoints_that_grow_at_once_never_share_an_address(
    world: EndpointWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_addresses, "derived", lambda *_: 100)
    await world.join()
    endpoints = [await accepted(world) for _ in range(4)]
    for number in (2, 4, 8):
        for endpoint in endpoints:
            assert await world.say(endpoint.id, Presence.FORWARDING, sources_wanted=number)
        await world.upkeep.errands()
    held = [address for endpoint in endpoints for address in await sources(world, endpoint.id)]
    assert len(held) == len(set(held)) == 32


async def test_an_address_of_another_cannot_be_added(world: EndpointWorld) -> None:
    await world.join()
    endpoint, other = await accepted(world), await accepted(world)
    (theirs,) = source_addresses.leases(other.id, ["gw-1"], ())
    assert [str(theirs.address)] == await sources(world, other.id)
    command, context = AddSources(world.clock(), (theirs,), 1), on_our_own("AddSources", world.clock())
    with pytest.raises(AlreadyClaimed):
        await Streams(world.store).endpoints.execute(f"endpoint-{endpoint.id}", command, context, no_answer)


async def test_two_reports_at_once_double_once(world: EndpointWorld) -> None:
    await world.join()
    endpoint = await accepted(world)
    assert await world.say(endpoint.id, Presence.FORWARDING, sources_wanted=64)
    (place,) = world.app.demand.lacking(Shortage.UNDER_WAY)
    await asyncio.gather(world.app.growth.grow([place]), world.app.growth.grow([place]))
    assert len(await sources(world, endpoint.id)) == 2


async def test_rebuilt_claims_are_the_live_ones(world: EndpointWorld) -> None:
    await world.join()
    endpoint = await accepted(world)
    await want(world, endpoint.id, 2)
    await want(world, endpoint.id, 4)
    streams = Streams(world.store)
    of_endpoints, of_gateways = streams.endpoints.meaning(), streams.gateways.meaning()
    meanings = {
        "endpoint": of_endpoints,
        "gateway": of_gateways,
        "service_forwarding": streams.services.meaning(),
        "attachment": streams.attachments.meaning(),
    }
    live = await world.store.holdings()
    log = await whole_log(world.store)
    assert rebuild_holdings(log, lambda event: meanings[event.stream.partition("-")[0]](event)) == live
    assert sum(claim.kind == "source-address" for claim in live.claims) == 4
