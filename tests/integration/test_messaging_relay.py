"""The relay on a real server and a real log: the sequence of a message is the position of its event, always."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging.broker import JetStreamBroker
from services.common.messaging.connection import Connection, Unsettled
from services.common.messaging.envelope import from_message, to_message
from services.common.messaging.relay import Relay
from services.common.messaging.stream import ENDPOINT, LogEpoch, Topic
from services.common.messaging.subscription import LogChanged
from tests.support import identity
from tests.support.cell import cell_subject
from tests.support.nats import DEADLINE, Nats, append, connected, follower, relaying, running, take, within

# nats-py lets go of its end of a connection unclosed where the server is killed while it is being made.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function StreamWriter.__del__:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[Nats]:
    async with running(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def connection(nats: Nats) -> AsyncIterator[Connection]:
    async with connected(nats, "relay") as made:
        yield made


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqlStore]:
    store = await SqlStore.open(path, synchronous="NORMAL")
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    async with opened(tmp_path / "log.sqlite") as made:
        yield made


QUICK = 0.05
"""Seconds after which a relay of a quiet log looks again."""


async def witnessed(connection: Connection, position: int) -> bool:
    witness = await JetStreamBroker(connection, ENDPOINT).witness("EP-1")
    return witness is not None and witness.position == position


async def grow_old(connection: Connection) -> None:
    """Lets all messages of the stream grow too old, as after a quiet week."""
    async with connection.exchange() as jetstream:
        config = (await jetstream.stream_info("EP-1")).config
        await jetstream.update_stream(config.evolve(max_age=0.1, duplicate_window=0.1))

    async def empty() -> bool:
        async with connection.exchange() as jetstream:
            return (await jetstream.stream_info("EP-1")).state.messages == 0

    await within(empty)


async def published(connection: Connection, stream: str = "EP-1") -> dict[int, RecordedEvent]:
    """What the stream holds, by sequence, each with its hash checked."""
    events: dict[int, RecordedEvent] = {}
    async with connection.exchange() as jetstream:
        state = (await jetstream.stream_info(stream)).state
    for sequence in range(max(1, state.first_seq), state.last_seq + 1):
        async with connection.exchange() as jetstream:
            message = await jetstream.get_msg(stream, sequence)
            events[sequence] = from_message(sequence, message.headers, message.data or b"").event
    return events


async def recorded(store: SqlStore) -> dict[int, RecordedEvent]:
    return {event.position: event for event in await store.read(0, 10_000)}


async def catch_up(relay: Relay, position: int) -> None:
    async with asyncio.timeout(DEADLINE):
        await relay.published(position)


async def test_the_sequence_of_a_message_is_the_position_of_its_event(store: SqlStore, connection: Connection) -> None:
    await append(store, 2)
    async with relaying(store, connection) as relay:
        await catch_up(relay, 2)
        await catch_up(relay, await append(store, 30, "c2"))
        await catch_up(relay, await append(store, 1, "*"))
        assert await published(connection) == await recorded(store)
        assert relay.healthy


async def test_more_than_a_batch_and_events_of_the_largest_size_get_through(
    store: SqlStore, connection: Connection
) -> None:
    await append(store, 20, data=bytes(256 * 1024))
    position = await append(store, 700)
    async with relaying(store, connection) as relay:
        await catch_up(relay, position)
        assert await published(connection) == await recorded(store)


async def test_relays_that_race_publish_each_event_once(store: SqlStore, nats: Nats) -> None:
    async with AsyncExitStack() as stack:
        relays = []
        for name in ("one", "two", "three"):
            own = await stack.enter_async_context(connected(nats, name))
            relays.append(await stack.enter_async_context(relaying(store, own)))
        for count in [1, 1, 5, 1, 40, 2, 1, 300] * 3:
            position = await append(store, count)
        for relay in relays:
            await catch_up(relay, position)
        assert await published(own) == await recorded(store)
        assert all(relay.healthy for relay in relays)


async def test_a_relay_may_be_killed_at_any_moment(store: SqlStore, connection: Connection) -> None:
    await append(store, 1000)
    position = await append(store, 1000)
    for reached in range(0, position, 150):
        async with relaying(store, connection) as relay:
            await catch_up(relay, reached)
    async with relaying(store, connection) as relay:
        await catch_up(relay, position)
        assert await published(connection) == await recorded(store)


async def test_a_batch_that_a_killed_relay_left_open_is_as_if_it_had_not_been(
    store: SqlStore, connection: Connection
) -> None:
    await append(store, 1)
    async with relaying(store, connection) as relay:
        await catch_up(relay, 1)
    event = (await store.read(0, 1))[0]
    message = to_message(event, cell_subject(event), LogEpoch((await store.head()).log_id, 1), bytes(32))
    for sequence in (1, 2):
        headers = {**message.headers, "Nats-Batch-Id": "left", "Nats-Batch-Sequence": str(sequence)}
        await connection.client.publish(message.subject, message.data, headers=headers)
    position = await append(store, 10)
    async with relaying(store, connection) as relay:
        await catch_up(relay, position)
        assert await published(connection) == await recorded(store)


async def test_a_server_that_is_killed_and_started_again_loses_nothing(
    store: SqlStore, connection: Connection, nats: Nats
) -> None:
    async with relaying(store, connection) as relay:
        for _ in range(3):
            await append(store, 500)
            await nats.crash()
        await catch_up(relay, await append(store, 5))
        assert await published(connection) == await recorded(store)


async def test_a_wiped_store_is_filled_again(store: SqlStore, connection: Connection, nats: Nats) -> None:
    async with relaying(store, connection) as relay:
        position = await append(store, 500)
        await catch_up(relay, position)
        await nats.wipe()
        await within(lambda: at(connection, position))
        assert await published(connection) == await recorded(store)
        assert (await store.head()).epoch == 1


async def test_a_store_that_was_rolled_back_is_brought_up_to_date(
    store: SqlStore, connection: Connection, nats: Nats, tmp_path: Path
) -> None:
    async with relaying(store, connection) as relay:
        await catch_up(relay, await append(store, 100))
        await nats.copy(tmp_path / "copy")
        position = await append(store, 100)
        await catch_up(relay, position)
        await nats.roll_back(tmp_path / "copy")
        await within(lambda: at(connection, position))
        assert await published(connection) == await recorded(store)
        assert (await store.head()).epoch == 1


async def test_a_stream_that_is_deleted_under_a_quiet_relay_is_made_again(
    store: SqlStore, connection: Connection
) -> None:
    async with relaying(store, connection, recheck=QUICK) as relay:
        position = await append(store, 10)
        await catch_up(relay, position)
        async with connection.exchange() as jetstream:
            await jetstream.delete_stream("EP-1")
        await within(lambda: at(connection, position))


async def test_what_another_process_appends_is_published_however_often_the_relay_looks_at_the_stream(
    store: SqlStore, connection: Connection, tmp_path: Path
) -> None:
    async with relaying(store, connection, recheck=QUICK) as relay, opened(tmp_path / "log.sqlite") as other:
        for _ in range(3):
            await catch_up(relay, await append(other, 1))


async def test_a_stream_whose_messages_all_grew_too_old_goes_on_where_it_was(
    store: SqlStore, connection: Connection, nats: Nats
) -> None:
    async with relaying(store, connection, recheck=QUICK) as relay:
        position = await append(store, 10)
        await catch_up(relay, position)
        await within(lambda: witnessed(connection, position))
    await grow_old(connection)
    await nats.crash()
    async with relaying(store, connection, recheck=QUICK) as relay:
        await catch_up(relay, await append(store, 1))
        assert relay.position == 11
        assert (await store.head()).epoch == 1


async def test_a_stream_of_which_nothing_tells_any_more_where_it_ended_is_replaced(
    store: SqlStore, connection: Connection
) -> None:
    await append(store, 10)
    async with relaying(store, connection) as relay:
        await catch_up(relay, 10)
        await catch_up(relay, await append(store, 1))  # and is gone before it has looked again
    await grow_old(connection)
    async with relaying(store, connection) as relay:
        await within(lambda: at(connection, 11, "EP-2"))
        assert await published(connection, "EP-2") == await recorded(store)
        await within(lambda: relay.healthy)


@pytest.mark.parametrize("grown", [5, 10, 25], ids=lambda grown: f"grown-by-{grown}")
async def test_a_log_restored_and_grown_is_seen_when_every_message_is_too_old(
    connection: Connection, tmp_path: Path, grown: int
) -> None:
    path, backup = tmp_path / "log.sqlite", tmp_path / "backup.sqlite"
    async with opened(path) as store:
        await append(store, 20)
    shutil.copy(path, backup)
    async with opened(path) as store, relaying(store, connection, recheck=QUICK) as relay:
        position = await append(store, 10)
        await catch_up(relay, position)
        await within(lambda: witnessed(connection, position))
    await grow_old(connection)
    shutil.copy(backup, path)
    async with opened(path) as restored:
        await append(restored, grown)
        async with relaying(restored, connection):
            await within(lambda: at(connection, 20 + grown, "EP-2"))
        assert await published(connection, "EP-2") == await recorded(restored)


async def test_bearing_witness_disturbs_no_subscriber(store: SqlStore, connection: Connection, nats: Nats) -> None:
    async with relaying(store, connection, recheck=QUICK) as relay, follower(store, nats) as subscription:
        await catch_up(relay, await append(store, 1))
        for _ in range(4):
            await within(partial(witnessed, connection, await append(store, 1)))
        assert len(await take(subscription, 5)) == 5


@pytest.mark.parametrize("grown", [0, 3, 10, 25], ids=lambda grown: f"grown-by-{grown}")
async def test_a_log_restored_from_a_backup_goes_on_in_a_new_epoch_and_subscribers_hear_of_it(
    connection: Connection, nats: Nats, tmp_path: Path, grown: int
) -> None:
    path, backup = tmp_path / "log.sqlite", tmp_path / "backup.sqlite"
    async with opened(path) as store, relaying(store, connection) as relay:
        await catch_up(relay, await append(store, 20))
    shutil.copy(path, backup)
    async with opened(path) as store, relaying(store, connection) as relay, follower(store, nats) as subscription:
        await catch_up(relay, await append(store, 10))
        await take(subscription, 30)
        lost = await published(connection)
        await store.close()
        shutil.copy(backup, path)
        async with opened(path) as restored:
            if grown:
                await append(restored, grown)
            async with relaying(restored, connection) as successor:
                async with asyncio.timeout(DEADLINE):
                    with pytest.raises(LogChanged) as changed:
                        await anext(subscription)
                assert changed.value.epoch == 2
                assert changed.value.log_id == (await restored.head()).log_id
                await within(lambda: at(connection, 20 + grown, "EP-2"))
                await within(lambda: successor.healthy)  # the stream has it before the relay hears so
            assert await published(connection, "EP-2") == await recorded(restored)
    # What the restored log has lost is still there for whoever wants to look.
    assert await published(connection, "EP-1") == lost


async def test_a_relay_of_an_earlier_epoch_cannot_write_into_the_new_stream(
    store: SqlStore, connection: Connection
) -> None:
    await append(store, 1)
    await store.begin_epoch(1)
    async with relaying(store, connection) as relay:
        await catch_up(relay, 1)
        event = (await store.read(0, 1))[0]
        message = to_message(event, cell_subject(event), LogEpoch((await store.head()).log_id, 1), bytes(32))
        for messages in ([message], [message] * 4):
            with pytest.raises(Unsettled, match="expected stream"):
                await JetStreamBroker(connection, ENDPOINT).publish("EP-1", 1, messages)
    assert list(await published(connection, "EP-2")) == [1]


async def test_forked_streams_do_not_pile_up(store: SqlStore, connection: Connection) -> None:
    await append(store, 1)
    for epoch in range(1, 7):
        async with relaying(store, connection) as relay:
            await catch_up(relay, 1)
        await store.begin_epoch(epoch)
    broker = JetStreamBroker(connection, ENDPOINT)
    assert sorted(stream.name for stream in await broker.streams()) == ["EP-3", "EP-4", "EP-5", "EP-6"]


async def test_a_message_of_somebody_else_makes_the_stream_worthless_and_it_is_replaced(
    store: SqlStore, connection: Connection
) -> None:
    async with relaying(store, connection) as relay:
        await catch_up(relay, await append(store, 3))
        await connection.client.publish("endpoint.v1.c1.endpoint.p1.forged", b"forged")
        await connection.client.flush()
        await append(store, 1)
        await within(lambda: at(connection, 4, "EP-2"))
        assert await published(connection, "EP-2") == await recorded(store)


async def test_a_relay_says_that_it_is_not_healthy_and_why_until_it_is_again(
    store: SqlStore, connection: Connection, nats: Nats
) -> None:
    async with relaying(store, connection) as relay:
        assert not relay.healthy
        await catch_up(relay, await append(store, 1))
        assert (relay.healthy, relay.trouble) == (True, "")
        await nats.server.kill()
        await append(store, 1)
        await within(lambda: not relay.healthy)
        assert relay.trouble
        await nats.server.start()
        await catch_up(relay, 2)
        assert relay.healthy


async def test_an_event_that_cannot_be_published_holds_back_what_follows_and_is_named(
    store: SqlStore, connection: Connection
) -> None:
    def subject_of(event: RecordedEvent) -> str:
        if event.position == 5:
            raise ValueError("it has no project")
        return cell_subject(event)

    await append(store, 8)
    async with relaying(store, connection, subject_of=subject_of) as relay:
        await catch_up(relay, 4)
        await within(lambda: "event 5 (endpoint_requested of endpoint-c1)" in relay.trouble)
        assert "it has no project" in relay.trouble
        assert not relay.healthy
        assert list(await published(connection)) == [1, 2, 3, 4]


async def test_two_logs_share_a_server_and_nothing_else(
    store: SqlStore, nats: Nats, connection: Connection, tmp_path: Path
) -> None:
    registry = Topic("REG", "registry")
    async with (
        opened(tmp_path / "registry.sqlite") as other,
        connected(nats, "registry", identity.nats_user("registry")) as registrys,
        relaying(store, connection) as relay,
        relaying(other, registrys, registry, lambda event: f"registry.v1.vpc.p1.{event.position}") as second,
    ):
        await catch_up(relay, await append(store, 5))
        await catch_up(second, await append(other, 7))
        assert await published(connection, "EP-1") == await recorded(store)
        assert await published(connection, "REG-1") == await recorded(other)


async def at(connection: Connection, position: int, stream: str = "EP-1") -> bool:
    try:
        async with connection.exchange() as jetstream:
            return (await jetstream.stream_info(stream)).state.last_seq == position
    except Unsettled as error:
        assert isinstance(error.__cause__, NotFoundError | TimeoutError | None), error
        return False
