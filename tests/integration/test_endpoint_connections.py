"""Connections: what a service's owner may see and decide, and what nobody else may know."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from services.common.clock import SECOND
from services.common.errors import NotFound, Refused, WrongState
from services.common.eventsourcing.selection import Order, Selection, Window
from services.common.eventsourcing.store import Conflict
from services.common.labels import Tag
from services.common.principal import Principal
from services.endpoint.application.limits import Limits
from services.endpoint.application.registry import Rules
from services.endpoint.application.requests import Wanted
from services.endpoint.domain.endpoint_commands import Change, Note
from services.endpoint.domain.routes import Place
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from tests.support.endpoint_service import (
    CONSUMER,
    OPEN_SERVICE,
    PROVIDER,
    SERVICE,
    STRANGER,
    SUBNET,
    EndpointWorld,
    endpoint_world,
    start,
)

PENDING = endpoint_pb.CONNECTION_STATE_PENDING_ACCEPTANCE
CREATING = endpoint_pb.CONNECTION_STATE_CREATING
REJECTED = endpoint_pb.CONNECTION_STATE_REJECTED
NOWHERE = "77777777-7777-4777-8777-777777777777"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EndpointWorld]:
    async with endpoint_world(tmp_path) as world:
        yield world


async def test_an_accepted_connection_is_on_its_way_and_again_changes_nothing(world: EndpointWorld) -> None:
    created = await world.create(SERVICE)
    assert (await world.accept(created.id)).state == CREATING
    events = await world.types()
    assert (await world.accept(created.id)).state == CREATING
    assert await world.types() == events


async def test_a_rejected_connection_keeps_its_address_and_can_be_accepted(world: EndpointWorld) -> None:
    created = await world.create(SERVICE)
    assert (await world.reject(created.id)).state == REJECTED
    assert (await world.reject(created.id)).state == REJECTED
    assert (await world.accept(created.id)).state == CREATING
    accepted = await world.get(created.id)
    assert (accepted.address, accepted.marker_id) == (created.address, created.marker_id)


async def test_the_owner_sees_the_account_and_the_marker_and_nothing_of_the_network(world: EndpointWorld) -> None:
    created = await world.create(SERVICE)
    seen = await world.app.connections.get(SERVICE, created.id, PROVIDER)
    assert (seen.account, seen.marker_id) == (CONSUMER.account, created.marker_id)
    assert {name.name for name, _ in seen.ListFields()} == {
        "endpoint_id",
        "service_id",
        "account",
        "marker_id",
        "state",
        "create_time",
        "update_time",
        "etag",
    }


async def test_connections_of_many_services_are_counted_at_once_and_of_others_none(world: EndpointWorld) -> None:
    first, _ = await world.create(SERVICE), await world.create(SERVICE)
    await world.accept(first.id)
    counts, asked = world.app.connections.counts, [SERVICE, OPEN_SERVICE, NOWHERE]
    assert await counts(asked, PROVIDER, ()) == {SERVICE: 2}
    assert await counts(asked, PROVIDER, ("CREATING",)) == {SERVICE: 1}
    assert await counts(asked, STRANGER, ()) == {}


async def test_a_service_lists_its_own_connections_and_to_others_none(world: EndpointWorld) -> None:
    first, second = await world.create(SERVICE), await world.create(SERVICE)
    await world.create(OPEN_SERVICE)
    found = await world.app.connections.listed(SERVICE, PROVIDER, Window(10))
    assert [connection.endpoint_id for connection in found.items] == [first.id, second.id]
    place = found.rows[0][0]
    rest = await world.app.connections.listed(SERVICE, PROVIDER, Window(10, place))
    assert [connection.endpoint_id for connection in rest.items] == [second.id]
    for other in (CONSUMER, STRANGER, Principal(PROVIDER.account, "other"), Principal("other", PROVIDER.project)):
        assert not (await world.app.connections.listed(SERVICE, other, Window(10))).rows


async def refusal(call: Awaitable[object], id_: str) -> tuple[str, str]:
    with pytest.raises(Refused) as refused:
        await call
    assert isinstance(refused.value, NotFound)
    return refused.value.reason, refused.value.text.replace(id_, "it")


async def test_anothers_endpoint_and_one_that_is_not_there_are_refused_in_the_same_words(world: EndpointWorld) -> None:
    id_ = (await world.create(SERVICE)).id
    for by in (STRANGER, PROVIDER, Principal(CONSUMER.account, "other"), Principal("other", CONSUMER.project)):
        assert await refusal(world.get(id_, by), id_) == await refusal(world.get(NOWHERE, by), NOWHERE)
        assert await refusal(world.delete(id_, by), id_) == await refusal(world.delete(NOWHERE, by), NOWHERE)
        assert not (await world.app.endpoints.listed(by, Window(10))).rows


async def test_anothers_connection_and_one_that_is_not_there_are_refused_in_the_same_words(
    world: EndpointWorld,
) -> None:
    id_, connections = (await world.create(SERVICE)).id, world.app.connections
    for by in (STRANGER, CONSUMER, Principal(PROVIDER.account, "other")):
        there, nowhere = connections.get(SERVICE, id_, by), connections.get(SERVICE, NOWHERE, by)
        assert await refusal(there, id_) == await refusal(nowhere, NOWHERE)
        assert await refusal(world.accept(id_, by=by), id_) == await refusal(world.accept(NOWHERE, by=by), NOWHERE)
        assert await refusal(world.reject(id_, by=by), id_) == await refusal(world.reject(NOWHERE, by=by), NOWHERE)
    await refusal(world.accept(id_, service=OPEN_SERVICE), id_)
    assert (await world.get(id_)).state == endpoint_pb.CONNECTION_STATE_PENDING_ACCEPTANCE


async def test_a_deleted_endpoint_is_not_there_for_either_side(world: EndpointWorld) -> None:
    id_ = (await world.create(SERVICE)).id
    await world.delete(id_)
    await refusal(world.get(id_), id_)
    await refusal(world.accept(id_), id_)
    await refusal(world.app.connections.get(SERVICE, id_, PROVIDER), id_)
    assert not (await world.app.connections.listed(SERVICE, PROVIDER, Window(10))).rows
    assert not (await world.app.endpoints.listed(CONSUMER, Window(10))).rows


async def test_what_is_being_deleted_can_be_neither_accepted_nor_changed(world: EndpointWorld) -> None:
    await world.join()
    id_ = (await world.create(SERVICE)).id
    await world.delete(id_)
    for call in (world.accept(id_), world.reject(id_), world.change(id_, name="other")):
        with pytest.raises(WrongState, match="deleting"):
            await call


async def test_accept_and_delete_at_once_always_end_deleted(world: EndpointWorld) -> None:
    for _ in range(10):
        id_ = (await world.create(SERVICE)).id
        answers = await asyncio.gather(world.accept(id_), world.delete(id_), return_exceptions=True)
        assert not isinstance(answers[1], BaseException)
        assert await world.app.endpoints.there([id_]) == []
        types = await world.types(f"endpoint-{id_}")
        assert types[-2:] == ["DeletionRequested", "Deleted"]


async def test_twenty_decisions_at_once_leave_one_state_and_every_generation_once(world: EndpointWorld) -> None:
    id_ = (await world.create(SERVICE)).id
    await asyncio.gather(*(world.accept(id_) if number % 2 else world.reject(id_) for number in range(20)))
    types = await world.types(f"endpoint-{id_}")
    assert all(one != next_ for one, next_ in pairwise(types))
    assert (await world.get(id_)).generation == len(types)


async def test_a_change_of_the_whitelist_is_another_generation_and_one_of_the_name_is_not(
    world: EndpointWorld,
) -> None:
    created = await world.create()
    renamed = await world.change(created.id, name="other")
    assert (renamed.name, renamed.generation) == ("other", created.generation)
    opened = await world.change(created.id, allowed=())
    assert opened.etag == renamed.etag


async def test_a_change_against_an_older_version_is_refused(world: EndpointWorld) -> None:
    created = await world.create()
    await world.change(created.id, name="other")
    stale = world.context(CONSUMER, "UpdateEndpoint", version=int(created.etag))
    with pytest.raises(Conflict):
        await world.app.endpoints.change(Change(world.clock(), CONSUMER, created.id, "late"), stale)
    assert (await world.get(created.id)).name == "other"


async def test_blockers_are_what_forwards_or_is_about_to(world: EndpointWorld) -> None:
    await world.join()
    pending, creating, accepted = [await world.create(SERVICE) for _ in range(3)]
    for each in (creating, accepted):
        await world.accept(each.id)
    await world.forwarding(accepted.id)
    assert await world.app.endpoints.blockers(SERVICE) == [creating.id, accepted.id]
    await world.reject(accepted.id)
    assert await world.app.endpoints.blockers(SERVICE) == [creating.id]
    there = await world.app.endpoints.there([pending.id, NOWHERE])
    assert there == [pending.id]


async def test_a_note_changes_the_connection_and_nothing_of_its_endpoint(world: EndpointWorld) -> None:
    """I5: not even an etag, a time or a place in a list tells the consumer of it."""
    older, newer = await world.create(SERVICE), await world.create(SERVICE)
    by_change = Selection(order=Order.UPDATED)
    seen = [await world.get(older.id), await world.get(newer.id)]
    before = await world.app.connections.get(SERVICE, older.id, PROVIDER)
    world.clock.advance(60)
    for text in ("ticket 4711", "ticket 4712"):
        note = Note(world.clock(), PROVIDER, SERVICE, older.id, text)
        noted = await world.app.connections.decide(note, world.context(PROVIDER, "NoteConnection"))
        assert int(noted.etag) == int(before.etag) + 1
        before = noted
        assert await world.app.connections.get(SERVICE, older.id, PROVIDER) == noted
    assert [await world.get(older.id), await world.get(newer.id)] == seen
    listed = await world.app.endpoints.listed(CONSUMER, Window(10), by_change)
    assert listed.items == seen
    theirs = Selection(order=Order.COUNTERPART_UPDATED, newest_first=True)
    connections = (await world.app.connections.listed(SERVICE, PROVIDER, Window(10), theirs)).items
    assert [each.endpoint_id for each in connections] == [older.id, newer.id]
    change = Change(world.clock(), CONSUMER, older.id, name="renamed")
    expected = world.context(CONSUMER, "UpdateEndpoint", version=int(seen[0].etag))
    changed = await world.app.endpoints.change(change, expected)
    assert int(changed.etag) == int(seen[0].etag) + 1
    assert await world.get(older.id) == changed
    connection = await world.app.connections.get(SERVICE, older.id, PROVIDER)
    assert (connection.note, connection.update_time) == ("ticket 4712", changed.update_time)
    with pytest.raises(Conflict):
        await world.app.endpoints.change(replace(change, name="again"), expected)


async def test_a_note_is_the_providers_and_stays_through_decisions(world: EndpointWorld) -> None:
    created = await world.create(SERVICE)
    note = Note(world.clock(), PROVIDER, SERVICE, created.id, "ticket 4711")
    noted = await world.app.connections.decide(note, world.context(PROVIDER, "NoteConnection"))
    assert noted.note == "ticket 4711"
    assert (await world.accept(created.id)).note == "ticket 4711"
    (listed,) = (await world.app.connections.listed(SERVICE, PROVIDER, Window(10))).items
    assert listed.note == "ticket 4711"
    with pytest.raises(NotFound):
        await world.app.connections.decide(replace(note, by=CONSUMER), world.context(CONSUMER, "NoteConnection"))


def rule(world: EndpointWorld, **rules: Any) -> None:
    """Gives the service that needs approval these rules."""
    world.registry.services[SERVICE] = replace(world.registry.services[SERVICE], rules=Rules(**rules))


async def test_a_request_that_nobody_decides_on_is_rejected_when_its_time_is_over(world: EndpointWorld) -> None:
    rule(world, pending_for=60 * SECOND)
    waiting, decided = await world.create(SERVICE), await world.create(SERVICE)
    assert waiting.expire_time.ToNanoseconds() == world.clock() + 60 * SECOND
    assert not (await world.accept(decided.id)).HasField("expire_time")
    world.clock.advance(59)
    await world.app.expiries.tick()
    assert (await world.get(waiting.id)).state == PENDING
    world.clock.advance(1)
    await world.app.expiries.tick()
    over = await world.get(waiting.id)
    assert (over.state, over.rejection) == (REJECTED, "it was not decided in time")
    assert (await world.get(decided.id)).state == CREATING
    assert (await world.accept(waiting.id)).state == CREATING, "its owner may think better of it"


async def test_an_acceptance_that_is_limited_ends_also_after_a_restart(world: EndpointWorld) -> None:
    rule(world, accepted_for=60 * SECOND)
    by_rule, longer = await world.create(SERVICE), await world.create(SERVICE)
    await world.accept(by_rule.id)
    until = world.clock() + 120 * SECOND
    assert (await world.accept(longer.id, until=until)).expire_time.ToNanoseconds() == until
    again = await start(world.store, world.registry, world.clock, Limits())
    world.clock.advance(60)
    await again.app.expiries.tick()
    ended = await world.get(by_rule.id)
    assert (ended.state, ended.rejection) == (REJECTED, "it was accepted until now")
    assert (await world.get(longer.id)).state == CREATING
    events = await world.types()
    await again.app.expiries.tick()
    assert await world.types() == events
    world.clock.advance(60)
    await again.app.expiries.tick()
    assert (await world.get(longer.id)).state == REJECTED


async def test_a_connection_whose_time_is_over_while_it_is_deleted_stays_deleted(world: EndpointWorld) -> None:
    rule(world, pending_for=SECOND)
    created = await world.create(SERVICE)
    world.clock.advance(1)
    await asyncio.gather(world.delete(created.id), world.app.expiries.tick())
    with pytest.raises(NotFound):
        await world.get(created.id)


async def test_known_accounts_and_tags_need_no_decision(world: EndpointWorld) -> None:
    assert (await world.create(SERVICE)).state == PENDING
    rule(world, accounts=frozenset({CONSUMER.account}))
    assert (await world.create(SERVICE)).state == CREATING
    rule(world, tags=frozenset({Tag("team", "web")}))
    assert (await world.create(SERVICE)).state == PENDING
    tagged = Wanted("name", SERVICE, Place(SUBNET), (), tags=(Tag("a", ""), Tag("team", "web")))
    made = await world.app.requests.request(tagged, world.context(CONSUMER, "CreateEndpoint"))
    assert made.state == CREATING
