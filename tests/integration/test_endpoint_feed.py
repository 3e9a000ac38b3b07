"""What agents are given: tables, events and digests agree at every position, and rebuilt equals live."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.common.clock import SECOND
from services.common.errors import Refused, WrongState
from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.eventsourcing.resource_table import RESOURCES
from services.common.eventsourcing.store import Constraints, RecordedEvent
from services.common.forwarding_digest import digest
from services.common.service_settings import USUAL, HealthCheck, HealthProtocol, SessionSettings
from services.endpoint.application.streams import Streams
from services.endpoint.domain.forwarding import Limits
from services.endpoint.domain.presence import Presence
from services.endpoint.domain.targets import Netns
from services.endpoint.wire.endpoint import state_of
from services.endpoint.wire.stored import ENDPOINT_STREAM
from sidegate.api.events.v1 import endpoint_events_pb2 as events_pb
from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb
from tests.support.endpoint_service import OPEN_SERVICE, PAYMENTS_VPC, SERVICE, SHOP_VPC, EndpointWorld, endpoint_world
from tests.support.stores import LOGS

Entries = dict[str, forwarding_pb.ForwardingEntry]
ASKED: Sequence[dict[str, Any]] = (
    {},
    {"session_settings": USUAL, "health_check": None},
    {"session_settings": SessionSettings(udp_one_way=5), "limits": Limits(connections=100)},
    {"health_check": HealthCheck(HealthProtocol.HTTP, 8080, "/healthz")},
)
DRAINS = (0, 0, 5 * SECOND, 60 * SECOND)


@pytest.fixture(params=LOGS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EndpointWorld]:
    with LOGS[request.param](tmp_path) as where:
        async with endpoint_world(tmp_path, where=where) as world:
            yield world


async def live_a_while(world: EndpointWorld, seed: int, steps: int = 120) -> None:
    """Anything that can happen, in any order; what is refused is refused."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    ids: list[str] = []
    for _ in range(steps):
        world.clock.advance(chance.choice([0, 1, 10]))
        gateway = chance.choice(["gw-1", "gw-2"])
        with suppress(Refused, KeyError):
            match chance.randrange(11):
                case 0 | 1:
                    ids.append((await world.create(chance.choice([SERVICE, OPEN_SERVICE]))).id)
                case 2:
                    await world.accept(chance.choice(ids or [""]))
                case 3:
                    await world.reject(chance.choice(ids or [""]), drain=chance.choice(DRAINS))
                case 4:
                    await world.delete(chance.choice(ids or [""]), drain=chance.choice(DRAINS))
                case 5:
                    await world.change(chance.choice(ids or [""]), name=f"n{chance.randrange(9)}", allowed=())
                case 6:
                    await world.join(gateway)
                case 7 | 8:
                    presence = chance.choice(list(Presence))
                    generation = chance.choice([None, None, 1, 2, 3])
                    await world.say(chance.choice(ids or [""]), presence, gateway=gateway, generation=generation)
                case 9:
                    changed = world.registry.change(SERVICE, f"10.0.0.{chance.randrange(1, 99)}")
                    world.registry.services[SERVICE] = replace(changed, **chance.choice(ASKED))
                    world.registry.targets[SHOP_VPC, "default"] = Netns("shop", f"dev{chance.randrange(9)}")
                    await world.app.forwarding.refresh([SERVICE], [SHOP_VPC])
                case _:
                    await world.app.cells.tick()
                    await world.app.expiries.tick()


def key(entry: forwarding_pb.ForwardingEntry) -> str:
    return entry.attachment.vpc_id or entry.service.service_id or entry.endpoint.endpoint_id


def fold(events: list[RecordedEvent], before: Entries | None = None) -> Entries:
    """The table as a gateway makes it of events."""
    entries = dict(before or {})
    for event in events:
        entry = events_pb.EndpointEvent.FromString(event.data).forwarding
        if entry.WhichOneof("entry"):
            entries[key(entry)] = entry
    return entries


def present(entries: Entries) -> Entries:
    return {
        id_: entry
        for id_, entry in entries.items()
        if not (entry.attachment.removed or entry.service.removed or entry.endpoint.removed)
        or entry.endpoint.draining_until
    }


async def events_of(world: EndpointWorld, after: int = 0, through: int = 0) -> list[RecordedEvent]:
    return [event async for event in world.app.feed.events("default", after, through)]


async def test_a_snapshot_and_what_follows_is_the_fold_from_the_beginning(world: EndpointWorld) -> None:
    await live_a_while(world, seed=(seed := random.randrange(2**32)), steps=40)
    snapshot = await world.app.feed.snapshot("default")
    held = {key(entry): entry for entry in snapshot.entries()}
    whole = fold(await events_of(world))
    assert present(held) == present(whole)
    assert all(whole[id_] == entry for id_, entry in held.items())
    await live_a_while(world, seed=seed + 1, steps=60)
    later = await events_of(world, after=snapshot.table.position)
    assert present(fold(later, held)) == present(fold(await events_of(world)))
    if later:
        assert later[0].prev == snapshot.table.cell_position


async def test_digests_at_every_position_are_of_the_fold_up_to_there(world: EndpointWorld) -> None:
    await live_a_while(world, seed=random.randrange(2**32), steps=60)
    events = await events_of(world)
    for position in range((await world.store.head()).position + 1):
        entries = present(fold([event for event in events if event.position <= position]))
        for gateway in ("", "gw-1"):
            found = await world.app.feed.digest("default", position, gateway)
            lines = [_line(entry, gateway) for entry in entries.values()]
            assert (found.digest, found.entries) == (digest(lines), len(lines))


def _line(entry: forwarding_pb.ForwardingEntry, gateway: str) -> str:
    match entry.WhichOneof("entry"):
        case "attachment":
            return f"attachment {entry.attachment.vpc_id} {entry.attachment.version}"
        case "service":
            return f"service {entry.service.service_id} {entry.service.version}"
        case _:
            leases = [f" {lease.address}" for lease in entry.endpoint.sources if lease.gateway_id == gateway]
            return f"endpoint {entry.endpoint.endpoint_id} {entry.endpoint.generation}{''.join(leases)}"


async def test_a_digest_of_a_position_that_is_not_there_yet_is_refused(world: EndpointWorld) -> None:
    await world.create()
    with pytest.raises(WrongState) as refused:
        await world.app.feed.digest("default", 6)
    assert refused.value.reason == "POSITION_AHEAD"


async def test_a_snapshot_has_attachments_first_then_services_then_endpoints(world: EndpointWorld) -> None:
    await world.create(SERVICE)
    await world.create(OPEN_SERVICE)
    entries = list((await world.app.feed.snapshot("default")).entries())
    kinds = [entry.WhichOneof("entry") for entry in entries]
    assert kinds == ["attachment", "attachment", "service", "service", "endpoint", "endpoint"]
    assert [entry.endpoint.removed for entry in entries[4:]] == [True, False]


async def test_a_snapshot_says_what_is_being_deleted_and_not_what_is_gone(world: EndpointWorld) -> None:
    gone = await world.create()
    await world.delete(gone.id)
    await world.join()
    deleting = await world.create()
    await world.delete(deleting.id)
    entries = {key(entry): entry for entry in (await world.app.feed.snapshot("default")).entries()}
    assert gone.id not in entries
    assert entries[deleting.id].endpoint.removed
    assert entries[deleting.id].endpoint.generation == (await world.get(deleting.id)).generation


async def test_a_cell_gets_its_own_table_and_events_only(world: EndpointWorld) -> None:
    await world.create()
    for vpc in (SHOP_VPC, PAYMENTS_VPC):
        world.registry.targets[vpc, "west"] = world.registry.targets.pop((vpc, "default"))
    other = await world.create()
    assert [each.partition for each in await events_of(world)] == ["default"] * 5
    west = list((await world.app.feed.snapshot("west")).entries())
    assert [entry.endpoint.endpoint_id for entry in west[3:]] == [other.id]
    assert list((await world.app.feed.snapshot("nowhere")).entries()) == []


async def test_events_are_those_of_a_range(world: EndpointWorld) -> None:
    await world.create()
    assert [event.position for event in await events_of(world, 1, 4)] == [2, 3, 4]
    assert await events_of(world, 5) == []


async def rows(world: EndpointWorld) -> list[tuple[object, ...]]:
    query = RESOURCES.select().order_by(RESOURCES.c.kind, RESOURCES.c.id)
    return await world.store.query(lambda connection: [tuple(row) for row in connection.execute(query)])


async def test_rows_claims_and_counters_can_be_made_anew_from_the_events(world: EndpointWorld) -> None:
    await live_a_while(world, seed=random.randrange(2**32))
    live = await rows(world)
    await world.store.rebuild()
    assert await rows(world) == live
    streams = Streams(world.store)
    meanings = {
        "endpoint": streams.endpoints.meaning(),
        "gateway": streams.gateways.meaning(),
        "service_forwarding": streams.services.meaning(),
        "attachment": streams.attachments.meaning(),
    }

    def meaning(event: RecordedEvent) -> Constraints:
        return meanings[event.stream.partition("-")[0]](event)

    rebuilt = rebuild_holdings(await world.store.read(0, 100_000), meaning)
    assert rebuilt == await world.store.holdings()


async def test_every_endpoint_is_as_its_last_event_says(world: EndpointWorld) -> None:
    await live_a_while(world, seed=random.randrange(2**32))
    last = {event.stream: event for event in await world.store.read(0, 100_000)}
    endpoints = {stream: event for stream, event in last.items() if stream.startswith(ENDPOINT_STREAM)}
    assert endpoints
    for stream, event in endpoints.items():
        state, version = await Streams(world.store).endpoints.load(stream)
        held = state_of(event.data)
        assert type(state) is type(held)
        assert getattr(state, "facts", None) == held.facts
        assert held.facts.version == version
