"""The past of a log: what was there at any position, from the nearest snapshot and the events since."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from services.common.eventsourcing.snapshots import PastStore, Snapshot
from services.common.eventsourcing.store import RecordedEvent, Unavailable
from services.common.history.index import Index, Reducer, fold, pack, unpack
from services.common.history.memory import Memory, Remembered

PAGE = 5000
CHUNK = 500

log = structlog.get_logger(__name__)


class History:
    """Answers the same with all snapshots, with some and with none; only the time that it takes is another.

    Indices that were asked for, and some on the way to them, are kept: who asks of one moment often asks of others
    beside it. They count as long as the log at their position is what it was, for a database may be restored while a
    program runs.
    """

    def __init__(self, store: PastStore, reducer: Reducer) -> None:
        self._store, self._reducer = store, reducer
        self._memory = Memory()

    @property
    def reducer(self) -> int:
        """The version of the rules."""
        return self._reducer.version

    async def at(self, position: int, spend: Callable[[int], None] = lambda _: None) -> Index:
        """What was there at a position that the log has reached. It is the caller's to read, not to change.

        `spend` is told how many events that took.
        """
        return await self._at(position, spend, asked=True)

    async def _at(self, position: int, spend: Callable[[int], None], *, asked: bool) -> Index:
        start, index = await self._beginning(position)
        spend(position - start)
        while start < position:
            # To the next multiple, so that what is kept on the way is of use to other questions.
            events = await self._store.read(start, min(PAGE - start % PAGE, position - start))
            if not events:
                break
            # In a thread of its own: the event loop has others to serve.
            await asyncio.to_thread(fold, index, events, self._reducer)
            start = events[-1].position
            if asked and start % PAGE == 0:
                self._memory.passes(Remembered(start, events[-1].hash, dict(index)))
        self._memory.ends_at(Remembered(position, await self._hash_at(position), index))
        return index

    async def events(self, positions: Sequence[int]) -> dict[int, RecordedEvent]:
        """The events at these positions."""
        found: dict[int, RecordedEvent] = {}
        for start in range(0, len(positions), CHUNK):
            events = await self._store.events_at(positions[start : start + CHUNK])
            found.update((event.position, event) for event in events)
        return found

    async def moment(self, time: int, end: int) -> int:
        """The position that the log was at, up to `end`, at a moment in nanoseconds since the epoch: 0 before all."""
        low = 0
        while low < end:
            middle = (low + end + 1) // 2
            (event,) = await self._store.events_at([middle])
            low, end = (middle, end) if event.recorded_at <= time else (low, middle - 1)
        return low

    async def keep(self, position: int) -> None:
        """Makes a snapshot at a position: of the one before it and the events since, never of what is live."""
        index = await self._at(position, lambda _: None, asked=False)
        data = await asyncio.to_thread(pack, index)
        await self._store.save_snapshot(Snapshot(position, self._reducer.version, await self._hash_at(position), data))

    async def _beginning(self, position: int) -> tuple[int, Index]:
        """The nearest place at or below the position of which it is known what was there."""
        last, at_most = await self._remembered(position), position
        while (snapshot := await self._store.snapshot(self._reducer.version, at_most)) is not None:
            if snapshot.position <= last.position:
                break
            if (found := await self._trusted(snapshot)) is not None:
                return snapshot.position, found
            at_most = snapshot.position - 1
            await self._forget(snapshot)
        return last.position, dict(last.there)

    async def _remembered(self, position: int) -> Remembered:
        """The nearest index at or below the position that is kept, if the log is still the one it is of."""
        while (last := self._memory.nearest(position)).position:
            if last.hash == await self._hash_at(last.position):
                break
            self._memory.forget(last)
        return last

    async def _trusted(self, snapshot: Snapshot) -> Index | None:
        """What a snapshot says, if it is one of this log as it is now."""
        if snapshot.hash != await self._hash_at(snapshot.position):
            return None
        with suppress(ValueError):
            return await asyncio.to_thread(unpack, snapshot.data)
        return None

    async def _forget(self, snapshot: Snapshot) -> None:
        """Makes room for one that can be trusted."""
        log.warning("a snapshot is not of this log or cannot be read, doing without", position=snapshot.position)
        with suppress(Unavailable):
            await self._store.drop_snapshots([snapshot.position])

    async def _hash_at(self, position: int) -> bytes:
        """The log's hash at a position; empty where there is nothing."""
        events = await self._store.events_at([position])
        return events[0].hash if events else b""
