"""`Watch` as every service serves it: checked, caught up, then told as it happens, with bookmarks.

The promises are etcd's. Ordered and unique: positions only rise. Reliable: nothing between two answers is left out.
Atomic: what one command did comes in one answer. Resumable: after any position that was answered. Bookmarked: an
answer without changes says how far all is told.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Generic, TypeVar

from services.common.errors import Refused, Unavailable
from services.common.eventsourcing.store import Head
from services.common.watching.beginning import Place, beginning
from services.common.watching.groups import GrowingLog, read_groups, whole
from services.common.watching.limits import Seats, WatchLimits
from services.common.watching.sight import SightsOf, Watch
from services.common.watching.tail import Tail
from services.common.watching.watcher import Told, Watcher

C = TypeVar("C")


def _shutting_down() -> Refused:
    return Unavailable("SHUTTING_DOWN", "this program stops: go on after the last position that came")


class Watching(Generic[C]):
    """All who watch one log. `sights_of` says what there is to see of an event, and for whom."""

    def __init__(self, log: GrowingLog, sights_of: SightsOf[C], limits: WatchLimits) -> None:
        self._log, self._limits = log, limits
        self._tail = Tail(log, sights_of)
        self._seats = Seats(limits)
        self._closed = False

    @property
    def watchers(self) -> int:
        """How many watch at the moment."""
        return len(self._seats)

    @property
    def position(self) -> int:
        """How far the log has been read for those who watch and are not behind."""
        return self._tail.position

    def close(self) -> None:
        """Ends all who watch, with Unavailable, so that they go on elsewhere or later; nobody may begin."""
        self._closed = True
        self._tail.end(_shutting_down())

    async def watch(self, watch: Watch, place: Place) -> AsyncGenerator[Told[C], None]:
        """What is told above the place, for ever; the first answer comes at once.

        Raises OutOfRange, WrongState (another log), QuotaReached (too slow, or too many) and Unavailable.
        """
        self._require_open()
        with self._seats.taken_by(watch.account):
            head = await self._log.head()
            position = beginning(place, head, self._limits.history)
            watcher: Watcher[C] = Watcher(watch, position, self._limits.waiting)
            try:
                yield _told(head, position)
                async for told in self._catch_up(watcher, head):
                    yield told
                while True:
                    yield await self._next(watcher, head)
            finally:
                self._tail.leave(watcher)

    async def _catch_up(self, watcher: Watcher[C], head: Head) -> AsyncGenerator[Told[C], None]:
        """Reads by itself, as fast as it is read, until it is where the tail is; says so, if there was any way."""
        began = watcher.position
        async for told in self._catch_up_with_stream(watcher, head):
            yield told
        clock = asyncio.get_running_loop().time
        said = clock()
        while not self._joined(watcher, head):
            for group in await read_groups(self._log, watcher.position):
                changes = [change for seen in self._tail.see(group) for change in watcher.watch.chosen(seen.sights)]
                watcher.advance(group[-1].position)
                if changes or clock() - said >= self._limits.bookmark_seconds:
                    yield _told(head, watcher.position, changes)
                    said = clock()
        if began < watcher.position:
            yield _told(head, watcher.position)

    async def _catch_up_with_stream(self, watcher: Watcher[C], head: Head) -> AsyncGenerator[Told[C], None]:
        """As far as the head was, of one stream alone, where that is all there is to see."""
        stream = watcher.watch.wish.stream
        if not stream or watcher.position >= head.position:
            return
        events = [each for each in await self._log.load(stream) if watcher.position < each.position <= head.position]
        for group in whole(events, full=False):
            changes = [change for seen in self._tail.see(group) for change in watcher.watch.chosen(seen.sights)]
            if changes:
                yield _told(head, group[-1].position, changes)
        watcher.advance(head.position)

    def _joined(self, watcher: Watcher[C], head: Head) -> bool:
        self._require_open()
        return self._tail.join(watcher, head)

    def _require_open(self) -> None:
        if self._closed:
            raise _shutting_down()

    async def _next(self, watcher: Watcher[C], head: Head) -> Told[C]:
        told = await watcher.next(self._limits.bookmark_seconds)
        if told is not None:
            return _told(head, *told)
        # Nothing waits, so all that the tail has read and that was for this one has been told.
        watcher.position = max(watcher.position, self._tail.position)
        return _told(head, watcher.position)


def _told(head: Head, position: int, changes: Sequence[C] = ()) -> Told[C]:
    return Told(position, head.log_id, head.epoch, changes)
