"""One who watches: what waits to be told, until he has it or there is too much of it."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.common.errors import QuotaReached
from services.common.watching.sight import Sight, Watch

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Seen(Generic[C_co]):
    """An event, read once for all who watch."""

    position: int
    sights: Sequence[Sight[C_co]]


@dataclass(frozen=True, slots=True)
class Told(Generic[C_co]):
    """All that one command changed of what he may see; without changes a bookmark.

    Everything up to `position`, of the log and epoch named, has then been told.
    """

    position: int
    log_id: str
    epoch: int
    changes: Sequence[C_co] = ()


class Watcher(Generic[C]):
    """Between the one reader of the log, who never waits, and a stream that may be slow.

    `position` is that of the last thing that was taken from here.
    """

    def __init__(self, watch: Watch, position: int, most: int) -> None:
        self.watch = watch
        self.position = position
        self._joined = position
        self._most = most
        self._queue: deque[tuple[int, Sequence[C]]] = deque()
        self._waiting = 0
        self._failure: Exception | None = None
        self._wake = asyncio.Event()

    @property
    def cut_off(self) -> bool:
        """Whether nothing more is going to be told."""
        return self._failure is not None

    def advance(self, position: int) -> None:
        """All up to a position was told without anything having waited here."""
        self.position = self._joined = position

    def offer(self, group: Sequence[Seen[C]]) -> None:
        """What one command did. Where too much is waiting already, that is the end."""
        changes = [
            change for seen in group if seen.position > self._joined for change in self.watch.chosen(seen.sights)
        ]
        if self.cut_off or not changes:
            return
        if self._waiting and self._waiting + len(changes) > self._most:
            text = f"{self._waiting} changes wait to be read: go on after position {self.position}, and read faster"
            self.fail(QuotaReached("SLOW_WATCHER", text, metadata={"position": str(self.position)}))
            return
        self._queue.append((group[-1].position, changes))
        self._waiting += len(changes)
        self._wake.set()

    def fail(self, error: Exception) -> None:
        """Ends it; what waits is dropped, since whoever resumes is told it then."""
        if not self.cut_off:
            self._failure = error
            self._queue.clear()
            self._wake.set()

    async def next(self, within: float) -> tuple[int, Sequence[C]] | None:
        """What is told next; None where there is nothing for so many seconds. Raises what it was ended with."""
        try:
            async with asyncio.timeout(within):
                await self._wake.wait()
        except TimeoutError:
            if not self._wake.is_set():
                return None
        if self._failure is not None:
            raise self._failure
        position, changes = self._queue.popleft()
        self._waiting -= len(changes)
        self.position = position
        if not self._queue:
            self._wake.clear()
        return position, changes
