"""The past of a log: what was there at any position, from the nearest snapshot and the events since."""

import asyncio
from collections.abc import Sequence

import structlog

from services.common.eventsourcing.snapshots import PastStore, Snapshot
from services.common.eventsourcing.store import RecordedEvent
from services.common.history.index import Index, Reducer, fold, pack, unpack

PAGE = 1000
CHUNK = 500

log = structlog.get_logger(__name__)


class History:
    """Answers the same with all snapshots, with some and with none; only the time that it takes is another.

    The last index that was asked for is kept: who asks of one moment often asks of the next.
    """

    def __init__(self, store: PastStore, reducer: Reducer) -> None:
        self._store, self._reducer = store, reducer
        self._last: tuple[int, Index] = (0, {})

    @property
    def reducer(self) -> int:
        """The version of the rules."""
        return self._reducer.version

    async def at(self, position: int) -> Index:
        """What was there at a position that the log has reached. It is the caller's to read, not to change."""
        start, index = await self._beginning(position)
        while start < position and (events := await self._store.read(start, min(PAGE, position - start))):
            # In a thread of its own: the event loop has others to serve.
            await asyncio.to_thread(fold, index, events, self._reducer)
            start = events[-1].position
        self._last = (position, index)
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
        index = await self.at(position)
        (event,) = await self._store.events_at([position])
        data = await asyncio.to_thread(pack, index)
        await self._store.save_snapshot(Snapshot(position, self._reducer.version, event.hash, data))

    async def _beginning(self, position: int) -> tuple[int, Index]:
        """The nearest place at or below the position of which it is known what was there."""
        last, index = self._last
        at_most = position
        while (snapshot := await self._store.snapshot(self._reducer.version, at_most)) is not None:
            if last <= position and last >= snapshot.position:
                break
            if (found := await self._trusted(snapshot)) is not None:
                return snapshot.position, found
            at_most = snapshot.position - 1
        return (last, dict(index)) if last <= position else (0, {})

    async def _trusted(self, snapshot: Snapshot) -> Index | None:
        """What a snapshot says, if it is one of this log as it is now."""
        events = await self._store.events_at([snapshot.position])
        try:
            if events and events[0].hash == snapshot.hash:
                return await asyncio.to_thread(unpack, snapshot.data)
        except ValueError as error:
            log.warning("a snapshot cannot be read, doing without", position=snapshot.position, why=str(error))
        return None
