"""Following another program's log, where what NATS says of it is not enough."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import Head, RecordedEvent
from services.common.messaging import subjects
from services.common.messaging.connection import Connection
from services.common.messaging.following import Followed, OwnerAway
from services.common.messaging.stream import ENDPOINT
from services.common.messaging.subjects import Selection
from services.common.messaging.subscription import LogChanged
from tests.support.cell import WHOLE_LOG
from tests.support.nats import DEADLINE, Nats, append, connected, filler, relaying, running

LOOK = 0.1


class Place:
    """A log in a file that can be put back to what it was, as an operator does it: with its program stopped."""

    def __init__(self, directory: Path) -> None:
        self._path, self._backup = directory / "log.sqlite", directory / "backup.sqlite"
        self.away = False
        self.asked = 0
        self.selection = WHOLE_LOG

    async def open(self) -> None:
        self.store = await SqlStore.open(self._path, synchronous="NORMAL")

    async def back_up(self) -> None:
        await self.store.close()
        shutil.copy(self._path, self._backup)
        await self.open()

    async def restore(self) -> None:
        await self.store.close()
        shutil.copy(self._backup, self._path)
        await self.open()

    async def head(self) -> Head:
        self.asked += 1
        if self.away:
            raise OwnerAway
        return await self.store.head()

    async def read(self, after: int, upto: int) -> list[RecordedEvent]:
        if self.away:
            raise OwnerAway
        return list(await filler(self.store, self.selection.partition)(after, upto))


@dataclass
class Scene:
    place: Place
    nats: Nats
    relay: Connection
    follower: Connection

    @property
    def store(self) -> SqlStore:
        return self.place.store

    def followed(self, since: Head, selection: Selection = WHOLE_LOG, look: float = LOOK) -> Followed:
        self.place.selection = selection
        return Followed(self.follower, ENDPOINT, selection, self.place, since=since, look=look)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    place = Place(tmp_path)
    await place.open()
    try:
        async with (
            running(tmp_path / "nats") as nats,
            connected(nats, "relay") as relay,
            connected(nats, "follower") as follower,
        ):
            yield Scene(place, nats, relay, follower)
    finally:
        await place.store.close()


async def heard(events: AsyncIterator[RecordedEvent], upto: int) -> list[RecordedEvent]:
    found: list[RecordedEvent] = []
    async with asyncio.timeout(DEADLINE):
        while not found or found[-1].position < upto:
            found.append(await anext(events))
    return found


async def changed(events: AsyncIterator[RecordedEvent]) -> LogChanged:
    """What it raises, after any number of events."""
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(LogChanged) as told:
            while True:
                await anext(events)
    return told.value


async def test_events_come_after_the_place_that_was_given(scene: Scene) -> None:
    await append(scene.store, 3)
    since = await scene.place.head()
    await append(scene.store, 4)
    async with relaying(scene.store, scene.relay), aclosing(scene.followed(since).events()) as events:
        assert await heard(events, 7) == list(await scene.store.read(3, 10))


async def test_an_owner_that_is_away_is_not_needed_while_nats_has_everything(scene: Scene) -> None:
    await append(scene.store, 1)
    since = await scene.place.head()
    async with relaying(scene.store, scene.relay), aclosing(scene.followed(since).events()) as events:
        scene.place.away = True
        while scene.place.asked < 5:
            position = await append(scene.store, 1)
            assert [event.position for event in await heard(events, position)] == [position]


Restore = Callable[[Scene], Awaitable[None]]


async def shorter(scene: Scene) -> None:
    await scene.place.restore()


async def as_long(scene: Scene) -> None:
    await scene.place.restore()
    await append(scene.store, 5, "c2")


async def as_dense(scene: Scene) -> None:
    """With an event of the cell at each position that had one: nothing in the cell shows where the other begins."""
    await scene.place.restore()
    await append(scene.store, 9, "c1")


async def longer(scene: Scene) -> None:
    await scene.place.restore()
    await append(scene.store, 9, "c2")


@asynccontextmanager
async def forgotten(scene: Scene, restore: Restore) -> AsyncIterator[None]:
    """The log is restored and NATS wiped, at once: no relay can know that there was another history."""
    await scene.place.back_up()
    async with relaying(scene.store, scene.relay) as relay:
        await append(scene.store, 5)
        async with asyncio.timeout(DEADLINE):
            await relay.published(10)
        yield
    await restore(scene)
    await scene.nats.wipe()


@pytest.mark.parametrize("selection", [WHOLE_LOG, subjects.of_cell("c1")], ids=["whole", "cell"])
@pytest.mark.parametrize("restore", [shorter, as_long, as_dense, longer])
async def test_a_log_that_was_restored_while_nats_lost_everything_is_found_out(
    scene: Scene, restore: Restore, selection: Selection
) -> None:
    await append(scene.store, 5)
    since = await scene.place.head()
    look = 2 * DEADLINE if restore is as_dense else LOOK
    events = scene.followed(since, selection, look).events()
    async with aclosing(events):
        async with forgotten(scene, restore):
            await heard(events, 10)
        async with relaying(scene.store, scene.relay):
            told = await changed(events)
    assert (told.log_id, told.epoch) == (since.log_id, 1)


async def test_the_hash_of_the_place_tells_another_history_without_the_owner(scene: Scene) -> None:
    await append(scene.store, 5)
    elsewhere = replace(await scene.place.head(), hash=bytes(32))
    await append(scene.store, 1)
    scene.place.away = True
    async with relaying(scene.store, scene.relay), aclosing(scene.followed(elsewhere).events()) as events:
        await changed(events)


async def test_a_log_at_an_earlier_epoch_than_was_heard_of_is_found_out(scene: Scene) -> None:
    await append(scene.store, 2)
    later = replace(await scene.place.head(), epoch=3)
    async with relaying(scene.store, scene.relay), aclosing(scene.followed(later).events()) as events:
        assert (await changed(events)).epoch == 1
