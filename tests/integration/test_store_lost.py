"""The store on PostgreSQL when connections or the whole server are lost: nothing wrong is said, and it goes on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import pytest
from sqlalchemy import Connection, text

from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import Appended, OutcomeUnknown, RecordedEvent, Unavailable
from sidegate.evidence import verify
from tests.support import postgres
from tests.support.stores import Tally, a_request, an_append, whole_log
from tests.support.wire_cutter import WireCutter

PATIENCE = 20


class Severing(Tally):
    """A projection over whose poison the server ends the connection, in the middle of a transaction."""

    def apply(self, connection: Connection, event: RecordedEvent) -> None:
        super().apply(connection, event)
        if event.stream == "poison":
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


@pytest.fixture
async def database() -> AsyncIterator[str]:
    with postgres.database() as name:
        yield name


@pytest.fixture
async def store(database: str) -> AsyncIterator[SqlStore]:
    opened = await SqlStore.open(postgres.shared().url(database), projections=[Severing()])
    try:
        yield opened
    finally:
        await opened.close()


async def is_sound(store: SqlStore) -> bool:
    head, log = await store.head(), await whole_log(store)
    tally = await store.query(Tally().read)
    return verify(head.log_id, log).ok and len(log) == head.position == sum(tally.values())


async def test_connections_that_were_ended_while_nothing_happened_are_made_again(
    store: SqlStore, database: str
) -> None:
    await asyncio.gather(*[store.append(an_append(f"endpoint-{number}")) for number in range(4)])
    await asyncio.gather(*[store.head() for _ in range(20)])  # every reader has its connection
    postgres.shared().disconnect(database)
    assert {head.position for head in await asyncio.gather(*[store.head() for _ in range(20)])} == {4}
    assert (await store.append(an_append())).position == 5
    assert await is_sound(store)


async def test_a_batch_whose_connection_is_lost_fails_whole_and_the_next_is_written(store: SqlStore) -> None:
    await store.append(an_append())
    streams = [*[f"endpoint-{number}" for number in range(6)], "poison"]
    found = await asyncio.gather(*[store.append(an_append(stream)) for stream in streams], return_exceptions=True)
    taken = [outcome for outcome in found if isinstance(outcome, Appended)]
    assert isinstance(found[-1], Unavailable)
    assert all(isinstance(outcome, Appended | Unavailable) for outcome in found)
    assert not any(isinstance(outcome, OutcomeUnknown) for outcome in found)
    assert (await store.head()).position == 1 + len(taken)
    assert (await store.append(an_append())).position == 2 + len(taken)
    assert await is_sound(store)


@pytest.mark.parametrize(("cut", "stored"), [("before", 0), ("after", 1)])
async def test_a_commit_that_nobody_answered_is_found_out_by_its_request_id(
    database: str, cut: Literal["before", "after"], stored: int
) -> None:
    async with WireCutter(postgres.shared()).running() as wire:
        store = await SqlStore.open(wire.url(database), projections=[Tally()])
        try:
            await store.append(an_append("endpoint-1"))
            wire.cut = cut
            append = an_append("endpoint-2", request=a_request())
            with pytest.raises(OutcomeUnknown):
                await store.append(append)
            assert wire.cuts == 1
            assert len(await store.load("endpoint-2")) == stored
            again = await store.append(append)
            assert again == Appended(2, 1, b"created", replayed=bool(stored))
            assert await is_sound(store)
        finally:
            await store.close()


async def test_of_a_batch_that_nobody_answered_nothing_is_written_twice(database: str) -> None:
    async with WireCutter(postgres.shared()).running() as wire:
        store = await SqlStore.open(wire.url(database), projections=[Tally()])
        try:
            wire.cut = "after"
            appends = [an_append(f"endpoint-{number}") for number in range(20)]
            found = await asyncio.gather(*map(store.append, appends), return_exceptions=True)
            log = await whole_log(store)
            assert len(log) == len({event.stream for event in log})
            assert any(isinstance(outcome, OutcomeUnknown) for outcome in found)
            for append, outcome in zip(appends, found, strict=True):
                if isinstance(outcome, Appended):
                    assert log[outcome.position - 1].stream == append.stream
            assert await is_sound(store)
        finally:
            await store.close()


async def test_while_the_server_is_away_commands_are_refused_and_then_it_goes_on_by_itself(
    store: SqlStore,
) -> None:
    await store.append(an_append())
    waiting = asyncio.create_task(store.wait_beyond(1))
    server = postgres.shared()
    server.stop()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await store.append(an_append())
        with pytest.raises(Unavailable):
            await store.head()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(waiting, PATIENCE)
    server.start()
    assert (await store.append(an_append())).position == 2
    await asyncio.wait_for(store.wait_beyond(1), PATIENCE)
    assert await is_sound(store)
