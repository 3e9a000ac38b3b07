"""Keeps snapshots of a log as it grows: few enough to be kept, near enough to any position."""

import asyncio

import structlog

from services.common.eventsourcing.snapshots import PastStore
from services.common.eventsourcing.store import Unavailable
from services.common.history.history import History

EVERY = 50_000
"""Positions from one snapshot to the next: what folds in about half a second."""

MOST = 64
"""How many are kept. Where there would be more, only every second is, and so on: a long log has them further apart."""

PATIENCE_SECONDS = 5.0

log = structlog.get_logger(__name__)


def spacing(end: int, every: int = EVERY, most: int = MOST) -> int:
    """From one snapshot to the next, in a log that ends there."""
    while end // every > most:
        every *= 2
    return every


class SnapshotKeeper:
    """Brings the snapshots to what the log's length says they should be, and waits until that is another."""

    def __init__(self, store: PastStore, history: History, every: int = EVERY, most: int = MOST) -> None:
        self._store, self._history = store, history
        self._every, self._most = every, most

    async def run(self) -> None:
        """Until cancelled. Where the database is away, questions go on being answered without new snapshots."""
        while True:
            try:
                await self._store.wait_beyond(await self.once() - 1)
            except Unavailable as error:
                log.warning("cannot keep a snapshot of the log, trying again", why=str(error))
                await asyncio.sleep(PATIENCE_SECONDS)

    async def once(self) -> int:
        """Makes those that are missing, drops those that are too many; gives the position of the next one."""
        end = (await self._store.head()).position
        step = spacing(end, self._every, self._most)
        kept = await self._store.snapshots()
        ours = {each.position for each in kept if each.reducer == self._history.reducer}
        wanted = range(step, end + 1, step)
        for position in wanted:
            if position not in ours:
                await self._history.keep(position)
        if surplus := [each.position for each in kept if each.position not in wanted]:
            await self._store.drop_snapshots(surplus)
        return (end // step + 1) * step
