"""The end of a log, read once for all who watch it."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import structlog

from services.common.errors import Refused, Unavailable, WrongState
from services.common.eventsourcing.store import Head, StoreError
from services.common.watching.beginning import Place, require_same_log
from services.common.watching.groups import Group, GrowingLog, read_groups
from services.common.watching.sight import SightsOf
from services.common.watching.watcher import Seen, Watcher

C = TypeVar("C")

LOOK_SECONDS = 5.0
"""How often it is looked whether the log is still the one that it was."""

logger = structlog.get_logger(__name__)


class Tail(Generic[C]):
    """Reads while somebody watches. What comes is read and looked at once, and offered to those it is for."""

    def __init__(self, log: GrowingLog, sights_of: SightsOf[C]) -> None:
        self._log, self._sights_of = log, sights_of
        self._watchers: defaultdict[str, set[Watcher[C]]] = defaultdict(set)
        self._count = 0
        self._reading: asyncio.Task[None] | None = None
        self._place = Place()
        self.position = 0

    def __len__(self) -> int:
        return self._count

    def see(self, group: Group) -> list[Seen[C]]:
        return [Seen(event.position, self._sights_of(event)) for event in group]

    def join(self, watcher: Watcher[C], head: Head) -> bool:
        """Whether the watcher is told from here on what is above its position; if not, it has to come closer first.

        `head` is that of the log as the watcher began. Raises WrongState where it goes on in another epoch by now.
        """
        if self._reading is None or head.epoch > self._place.epoch:
            self._begin(Place(log_id=head.log_id, epoch=head.epoch), max(head.position, watcher.position))
        if head.epoch < self._place.epoch:
            raise _changed()
        if watcher.position < self.position:
            return False
        self._count += 1
        for audience in watcher.watch.audiences:
            self._watchers[audience].add(watcher)
        return True

    def leave(self, watcher: Watcher[C]) -> None:
        """Without anybody left, the reading ends."""
        joined = False
        for audience in watcher.watch.audiences:
            if watcher in self._watchers.get(audience, ()):
                joined = True
                self._watchers[audience].discard(watcher)
                if not self._watchers[audience]:
                    del self._watchers[audience]
        self._count -= joined
        if not self._count and self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def end(self, error: Exception) -> None:
        """Ends all who watch."""
        for watcher in {each for watchers in self._watchers.values() for each in watchers}:
            watcher.fail(error)

    def _begin(self, place: Place, position: int) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self.end(_changed())
        self._place, self.position = place, position
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            await self._follow()
        except Refused as error:
            self._stop(error)
        except StoreError:
            self._stop(Unavailable("STORE_UNAVAILABLE", "the log cannot be read at the moment: watch again"))
        except Exception as error:
            logger.error("nobody can watch", exc_info=error)
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        self._reading = None
        self.end(error)

    async def _follow(self) -> None:
        clock = asyncio.get_running_loop().time
        looked = clock()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._log.wait_beyond(self.position)
            if clock() - looked >= LOOK_SECONDS:
                require_same_log(self._place, await self._log.head())
                looked = clock()
            for group in await read_groups(self._log, self.position):
                self._tell(self.see(group))

    def _tell(self, group: Sequence[Seen[C]]) -> None:
        self.position = group[-1].position
        audiences = {audience for seen in group for sight in seen.sights for audience in sight.audience}
        for watcher in {each for audience in audiences for each in self._watchers.get(audience, ())}:
            watcher.offer(group)


def _changed() -> WrongState:
    return WrongState("LOG_CHANGED", "the log goes on in another epoch: list again, and watch from now on")
