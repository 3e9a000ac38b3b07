"""Following a log on a real server: every event once, in order, whatever happens on the way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.js.api import StreamConfig

from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import GENESIS, RecordedEvent
from services.common.messaging import subjects
from services.common.messaging.broker import JetStreamBroker
from services.common.messaging.connection import Connection
from services.common.messaging.envelope import Message, to_message
from services.common.messaging.relay import Relay
from services.common.messaging.stream import ENDPOINT, LogEpoch, Topic
from services.common.messaging.subscription import Gap, LogChanged, Subscription
from tests.support import identity
from tests.support.cell import WHOLE_LOG, cell_subject
from tests.support.nats import DEADLINE, Nats, append, connected, follower, relaying, running, take, within


@dataclass(frozen=True, slots=True)
class HoledTopic(Topic):
    """A stream whose messages may be deleted one by one, as a damaged disk would."""

    def config(self, log: LogEpoch) -> StreamConfig:
        return Topic.config(self, log).evolve(deny_delete=False)


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[Nats]:
    async with running(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def connection(nats: Nats) -> AsyncIterator[Connection]:
    async with connected(nats, "relay", identity.nats_anybody()) as made:
        yield made


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    made = await SqlStore.open(tmp_path / "log.sqlite", synchronous="NORMAL")
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def relay(store: SqlStore, connection: Connection) -> AsyncIterator[Relay]:
    async with relaying(store, connection, HoledTopic("EP", "endpoint")) as running_relay:
        yield running_relay


async def publish(store: SqlStore, relay: Relay, layout: str) -> None:
    """One event for each letter, in the cell of that name."""
    for cell in layout:
        position = await append(store, 1, cell)
    async with asyncio.timeout(DEADLINE):
        await relay.published(position)


async def dig(connection: Connection, *positions: int) -> None:
    async with connection.exchange() as jetstream:
        for position in positions:
            await jetstream.delete_msg("EP-1", position)


def positions(events: Sequence[RecordedEvent]) -> list[int]:
    return [event.position for event in events]


async def test_a_subscriber_gets_the_stored_events_from_where_it_wants(
    store: SqlStore, relay: Relay, nats: Nats
) -> None:
    await publish(store, relay, "abcab")
    async with follower(store, nats, after=2) as subscription:
        assert await take(subscription, 5) == await store.read(2, 3)
        await publish(store, relay, "cc")
        assert await take(subscription, 7) == await store.read(5, 2)
        assert subscription.position == 7
        assert subscription.log == LogEpoch((await store.head()).log_id, 1)


async def test_each_event_comes_by_itself_whatever_time_a_pull_has(
    store: SqlStore, relay: Relay, nats: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waited for more events, for the end of its time or for a sign of life would wait beyond the deadline."""
    monkeypatch.setattr("services.common.messaging.pull.EXPIRES", 20 * DEADLINE)
    monkeypatch.setattr("services.common.messaging.pull.HEARTBEAT", 4 * DEADLINE)
    monkeypatch.setattr("services.common.messaging.pull.SILENCE", 10 * DEADLINE)
    async with follower(store, nats) as subscription:
        for _ in range(25):
            await take(subscription, await append(store))


async def test_a_cell_gets_its_own_events_and_no_others_whatever_its_name(
    store: SqlStore, relay: Relay, nats: Nats
) -> None:
    cells = ["a", "*", ">", "a.b", "a b", "%2A", "é"]
    for _ in range(3):
        for cell in cells:
            position = await append(store, 2, cell)
    async with asyncio.timeout(DEADLINE):
        await relay.published(position)
    for cell in cells:
        async with follower(store, nats, subjects.of_cell(cell)) as subscription:
            expected = await store.read(0, 100, cell)
            assert await take(subscription, expected[-1].position) == expected


async def test_a_gap_is_filled_by_the_owner(store: SqlStore, relay: Relay, nats: Nats, connection: Connection) -> None:
    await publish(store, relay, "ababababab")
    await dig(connection, 3, 4, 7)
    async with follower(store, nats) as whole, follower(store, nats, subjects.of_cell("a")) as cell:
        assert await take(whole, 10) == await store.read(0, 100)
        assert positions(await take(cell, 9)) == [1, 3, 5, 7, 9]


async def test_what_the_stream_no_longer_holds_is_filled_by_the_owner(
    store: SqlStore, relay: Relay, nats: Nats, connection: Connection
) -> None:
    await publish(store, relay, "abababbbbb")
    async with connection.exchange() as jetstream:
        await jetstream.purge_stream("EP-1")
    async with follower(store, nats, after=1) as whole, follower(store, nats, subjects.of_cell("a"), after=1) as cell:
        assert positions(await take(whole, 10)) == list(range(2, 11))
        assert positions(await take(cell, 5)) == [3, 5]
        await publish(store, relay, "ba")
        assert positions(await take(whole, 12)) == [11, 12]
        assert positions(await take(cell, 12)) == [12]


async def test_a_subscriber_asks_the_owner_for_nothing_where_nothing_is_missing(
    store: SqlStore, relay: Relay, connection: Connection
) -> None:
    asked: list[tuple[int, int]] = []

    async def fill(after: int, upto: int) -> Sequence[RecordedEvent]:
        asked.append((after, upto))
        return await store.read(after, upto - after)

    await publish(store, relay, "abab")
    async with Subscription(connection, ENDPOINT, subjects.of_cell("a"), after=0, gap_fill=fill) as subscription:
        await take(subscription, 3)
        await publish(store, relay, "bbba")
        await take(subscription, 8)
    assert asked == []


async def test_what_nobody_has_is_a_gap_and_iterating_on_tries_again(
    store: SqlStore, relay: Relay, connection: Connection
) -> None:
    answers: list[Sequence[RecordedEvent] | Exception] = [[], ConnectionError("away")]

    async def fill(after: int, upto: int) -> Sequence[RecordedEvent]:
        answer = answers.pop(0) if answers else await store.read(after, upto - after)
        if isinstance(answer, Exception):
            raise answer
        return answer

    await publish(store, relay, "aaaaa")
    await dig(connection, 2, 3)
    async with Subscription(connection, ENDPOINT, WHOLE_LOG, after=0, gap_fill=fill) as subscription:
        assert positions(await take(subscription, 1)) == [1]
        for _ in range(2):
            async with asyncio.timeout(DEADLINE):
                with pytest.raises(Gap) as gap:
                    await anext(subscription)
            assert (gap.value.after, gap.value.upto) == (1, 3)
        assert isinstance(gap.value.__cause__, ConnectionError)
        assert positions(await take(subscription, 5)) == [2, 3, 4, 5]


async def test_a_message_that_was_altered_is_replaced_by_what_the_owner_has(
    store: SqlStore, connection: Connection, nats: Nats
) -> None:
    await append(store, 2)
    first, second = await store.read(0, 2)
    log = LogEpoch((await store.head()).log_id, 1)
    broker = JetStreamBroker(connection, ENDPOINT)
    await broker.create(log)
    genuine = to_message(first, cell_subject(first), log, GENESIS)
    altered = to_message(second, cell_subject(second), log, first.hash)
    await broker.publish("EP-1", 0, [genuine])
    await broker.publish("EP-1", 1, [Message(altered.subject, altered.headers, b"other")])
    async with follower(store, nats) as subscription:
        assert await take(subscription, 2) == [first, second]


async def test_a_subscriber_outlives_what_happens_to_the_server(
    store: SqlStore, relay: Relay, nats: Nats, tmp_path: Path
) -> None:
    async with follower(store, nats) as whole, follower(store, nats, subjects.of_cell("b")) as cell:
        await publish(store, relay, "ab")
        await take(whole, 2)
        await nats.crash()
        await publish(store, relay, "ab")
        assert positions(await take(whole, 4)) == [3, 4]
        await nats.copy(tmp_path / "copy")
        await publish(store, relay, "ab")
        assert positions(await take(whole, 6)) == [5, 6]
        await nats.wipe()
        await publish(store, relay, "ab")
        assert positions(await take(whole, 8)) == [7, 8]
        await nats.roll_back(tmp_path / "copy")
        await publish(store, relay, "ab")
        assert positions(await take(whole, 10)) == [9, 10]
        assert positions(await take(cell, 10)) == [2, 4, 6, 8, 10]


async def test_a_server_that_is_silent_for_a_while_is_waited_for(store: SqlStore, relay: Relay, nats: Nats) -> None:
    async with follower(store, nats) as subscription:
        await publish(store, relay, "a")
        await take(subscription, 1)
        with nats.frozen():
            waiting = asyncio.create_task(take(subscription, 2))
            await append(store, 1)
            await within(lambda: not subscription.caught_up)
        assert positions(await waiting) == [2]


async def test_a_subscriber_is_caught_up_when_it_comes_back_for_more_and_there_is_none(
    store: SqlStore, relay: Relay, nats: Nats
) -> None:
    await publish(store, relay, "aaa")
    async with follower(store, nats) as subscription:
        assert not subscription.caught_up
        await take(subscription, 3)
        assert not subscription.caught_up  # the last one may still be at work
        waiting = asyncio.create_task(take(subscription, 4))
        async with asyncio.timeout(DEADLINE):
            await subscription.wait_caught_up()
        assert subscription.position == 3
        await publish(store, relay, "a")
        await waiting


async def test_a_subscriber_of_a_quiet_cell_is_caught_up_at_once(store: SqlStore, relay: Relay, nats: Nats) -> None:
    await publish(store, relay, "aaa")
    async with follower(store, nats, subjects.of_cell("quiet")) as subscription:
        waiting = asyncio.create_task(take(subscription, 4))
        async with asyncio.timeout(DEADLINE):
            await subscription.wait_caught_up()
        await publish(store, relay, "a")
        await append(store, 1, "quiet")
        assert positions(await waiting) == [5]


async def test_a_subscriber_of_another_log_is_told_at_once(store: SqlStore, relay: Relay, nats: Nats) -> None:
    await publish(store, relay, "a")
    async with follower(store, nats, log=LogEpoch("another", 1)) as subscription, asyncio.timeout(DEADLINE):
        for _ in range(2):
            with pytest.raises(LogChanged) as changed:
                await anext(subscription)
        assert changed.value.log_id == (await store.head()).log_id


async def test_a_subscriber_that_knows_of_a_newer_epoch_waits_for_its_stream(
    store: SqlStore, connection: Connection, nats: Nats
) -> None:
    await append(store, 1)
    async with relaying(store, connection) as relay, asyncio.timeout(DEADLINE):
        await relay.published(1)
    head = await store.begin_epoch(1)
    async with follower(store, nats, log=LogEpoch(head.log_id, head.epoch)) as subscription:
        waiting = asyncio.create_task(take(subscription, 1))
        async with relaying(store, connection):
            assert positions(await waiting) == [1]
        assert subscription.log == LogEpoch(head.log_id, 2)


async def test_a_subscriber_waits_for_a_stream_that_is_yet_to_be_made(
    store: SqlStore, connection: Connection, nats: Nats
) -> None:
    await append(store, 1)
    async with follower(store, nats) as subscription:
        waiting = asyncio.create_task(take(subscription, 1))
        async with relaying(store, connection):
            assert positions(await waiting) == [1]


async def test_a_subscription_leaves_no_consumer_behind(store: SqlStore, relay: Relay, connection: Connection) -> None:
    async def consumers() -> int:
        async with connection.exchange() as jetstream:
            return (await jetstream.stream_info("EP-1")).state.consumer_count

    async def none_is_left() -> bool:
        return await consumers() == 0

    async def no_fill(after: int, upto: int) -> Sequence[RecordedEvent]:
        raise AssertionError(f"nothing is missing between {after} and {upto}")

    await publish(store, relay, "a")
    async with Subscription(connection, ENDPOINT, WHOLE_LOG, after=0, gap_fill=no_fill) as subscription:
        await take(subscription, 1)
        assert await consumers() == 1
    await within(none_is_left)
