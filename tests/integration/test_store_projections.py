"""Projections: what an append has made is there when it returns, and can always be made anew."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, MetaData

from services.common.eventsourcing.projection import PAGE
from services.common.eventsourcing.sql_schema import tail
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import Conflict, RecordedEvent, WrongSchema
from tests.support.stores import LOGS, Tally, an_append, whole_log

PATIENCE = 20


@pytest.fixture(params=LOGS)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with LOGS[request.param](tmp_path) as made:
        yield made


@pytest.fixture
async def store(where: str) -> AsyncIterator[SqlStore]:
    opened = await SqlStore.open(where, projections=[Tally()])
    try:
        yield opened
    finally:
        await opened.close()


class Doubled(Tally):
    """The tally as a later release has it: each event counts twice."""

    def apply(self, connection: Connection, event: RecordedEvent) -> None:
        super().apply(connection, event)
        super().apply(connection, event)


def of_log(log: list[RecordedEvent]) -> dict[str, int]:
    found: dict[str, int] = {}
    for event in log:
        found[event.stream] = found.get(event.stream, 0) + 1
    return found


async def write(store: SqlStore, *streams: str) -> None:
    await asyncio.gather(*[store.append(an_append(stream, events=2)) for stream in streams])


async def test_what_was_appended_is_in_the_projection_when_the_append_returns(store: SqlStore) -> None:
    async def write_and_read(number: int) -> None:
        for step in range(1, 6):
            await store.append(an_append(f"endpoint-{number}"))
            assert (await store.query(Tally().read))[f"endpoint-{number}"] == step

    await asyncio.gather(*map(write_and_read, range(10)))


async def test_a_query_sees_log_and_projection_at_one_position(store: SqlStore) -> None:
    async def keep_writing() -> None:
        for number in range(60):
            await store.append(an_append(f"endpoint-{number % 5}", events=3))

    def both(connection: Connection) -> tuple[int, dict[str, int]]:
        return tail(connection), Tally().read(connection)

    writing = asyncio.create_task(keep_writing())
    looks = 0
    while not writing.done():
        position, counted = await store.query(both)
        assert position == sum(counted.values())
        looks += 1
    await writing
    assert looks > 1


async def test_a_rebuilt_projection_equals_the_live_one(store: SqlStore) -> None:
    await write(store, "endpoint-1", "endpoint-2", "endpoint-1")
    live = await store.query(Tally().read)
    await store.rebuild()
    assert await store.query(Tally().read) == live == of_log(list(await whole_log(store)))
    await write(store, "endpoint-2")
    assert (await store.query(Tally().read))["endpoint-2"] == 4


async def test_a_projection_of_another_version_is_made_anew_when_the_log_is_opened(where: str) -> None:
    first = await SqlStore.open(where, projections=[Tally()])
    await write(first, "endpoint-1", "endpoint-2")
    await first.close()
    second = await SqlStore.open(where, projections=[Doubled(version=2)])
    assert await second.query(Tally().read) == {"endpoint-1": 4, "endpoint-2": 4}
    await second.close()
    third = await SqlStore.open(where, projections=[Doubled(version=2)])
    assert await third.query(Tally().read) == {"endpoint-1": 4, "endpoint-2": 4}
    await third.close()


async def test_a_program_whose_projection_another_version_made_anew_writes_no_more(store: SqlStore, where: str) -> None:
    await write(store, "endpoint-1")
    newer = await SqlStore.open(where, projections=[Doubled(version=2)])
    try:
        with pytest.raises(WrongSchema, match="another version has made tally anew"):
            await store.append(an_append("endpoint-1"))
        await write(newer, "endpoint-1")
        assert await newer.query(Tally().read) == {"endpoint-1": 8}
    finally:
        await newer.close()


async def test_a_projection_that_is_new_is_made_from_the_first_event_on(where: str) -> None:
    bare = await SqlStore.open(where)
    await write(bare, *[f"endpoint-{number % 7}" for number in range(3 * PAGE // 4)])
    await bare.close()
    opened = await SqlStore.open(where, projections=[Tally()])
    log = list(await whole_log(opened))
    assert len(log) == 3 * PAGE // 2
    assert await opened.query(Tally().read) == of_log(log)
    await opened.close()


async def test_what_a_program_without_the_projection_wrote_is_caught_up_with(store: SqlStore, where: str) -> None:
    await write(store, "endpoint-1")
    other = await SqlStore.open(where)
    await write(other, "endpoint-2")
    await write(store, "endpoint-3")
    await other.close()
    assert await store.query(Tally().read) == {"endpoint-1": 2, "endpoint-2": 2, "endpoint-3": 2}


async def test_two_programs_write_one_log_and_one_projection(store: SqlStore, where: str) -> None:
    other = await SqlStore.open(where, projections=[Tally()])
    try:
        streams = [f"endpoint-{number}" for number in range(30)]
        await asyncio.gather(write(store, *streams), write(other, *streams))
        log = list(await whole_log(other))
        assert [event.position for event in log] == list(range(1, 121))
        assert await store.query(Tally().read) == of_log(log)
    finally:
        await other.close()


async def test_what_another_program_appends_is_noticed(store: SqlStore, where: str) -> None:
    other = await SqlStore.open(where)
    try:
        waiting = asyncio.create_task(store.wait_beyond(0))
        await write(other, "endpoint-1")
        await asyncio.wait_for(waiting, PATIENCE)
        assert len(await store.read(0, 10)) == 2
    finally:
        await other.close()


async def test_what_was_known_counts_until_another_program_writes(store: SqlStore, where: str) -> None:
    known = store.continuity
    await store.append(replace(an_append("a"), continuity=known))
    await store.append(replace(an_append("b"), continuity=known))
    other = await SqlStore.open(where, projections=[Tally()])
    await other.append(an_append("a"))
    await other.close()
    with pytest.raises(Conflict):
        await store.append(replace(an_append("b"), continuity=known))
    await store.append(an_append("b"))
    assert store.continuity > known
    assert [event.stream for event in await whole_log(store)] == ["a", "b", "a", "b"]
    await store.append(replace(an_append("b"), continuity=store.continuity))


async def test_projections_share_no_table(where: str) -> None:
    class Greedy(Tally):
        def __init__(self) -> None:
            super().__init__()
            self.name = "greedy"

    with pytest.raises(ValueError, match="tally"):
        await SqlStore.open(where, projections=[Tally(), Greedy()])


async def test_projections_have_names_of_their_own(where: str) -> None:
    class Empty(Tally):
        def __init__(self) -> None:
            super().__init__()
            self.metadata = MetaData()

    with pytest.raises(ValueError, match="same name"):
        await SqlStore.open(where, projections=[Tally(), Empty()])
