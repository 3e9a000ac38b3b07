"""Waiting for the log to grow, without asking it more often than needed."""

import asyncio
from collections.abc import Awaitable, Callable

from services.common.eventsourcing.store import Unavailable

POLL_SECONDS = 0.2
"""How long an event of another process may go unseen."""


class TailWatch:
    """Wakes those who wait for a position. `look` reads the log's last position, for what others have written."""

    def __init__(self, look: Callable[[], Awaitable[int]]) -> None:
        self._look = look
        self._seen = 0
        self._closed = False
        self._waiting: dict[asyncio.Event, int] = {}
        self._due = 0.0

    @property
    def seen(self) -> int:
        """The highest position that it was told of."""
        return self._seen

    def saw(self, position: int) -> None:
        """To be told of every position that has become visible; repeats and older ones do no harm."""
        if position > self._seen:
            self._seen = position
            for waiter, beyond in self._waiting.items():
                if position > beyond:
                    waiter.set()

    def close(self) -> None:
        """Lets go of those who wait, with Unavailable."""
        self._closed = True
        for waiter in self._waiting:
            waiter.set()

    async def beyond(self, position: int) -> None:
        """Returns when a position above this one is visible. Raises what `look` raises."""
        while self._seen <= position:
            if self._closed:
                raise Unavailable("the log is closed")
            await self._wait(position)

    async def _wait(self, position: int) -> None:
        waiter = asyncio.Event()
        self._waiting[waiter] = position
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await waiter.wait()
        except TimeoutError:
            await self._look_for_all()
        finally:
            del self._waiting[waiter]

    async def _look_for_all(self) -> None:
        """One look at a time is enough for all who wait."""
        now = asyncio.get_running_loop().time()
        if now >= self._due:
            self._due = now + POLL_SECONDS
            self.saw(await self._look())
