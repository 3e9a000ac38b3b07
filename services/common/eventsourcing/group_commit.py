"""Group commit: what has gathered while one transaction was written becomes the next one."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from services.common.eventsourcing import store_metrics
from services.common.eventsourcing.store import Append, Appended, Unavailable

MAX_BATCH = 256
MAX_PENDING = 10_000
IDLE_SECONDS = 0.1

T = TypeVar("T")
Outcomes = Sequence[Appended | Exception]
Waiting = tuple[Append, asyncio.Future[Appended]]


class GroupCommit:
    """Hands appends to one thread, in the order in which they came, with no added wait.

    `commit` and `tidy` run in that thread: `commit` says what became of each append of a batch, `tidy` is called
    when nothing has been written for a while. `committed` is called in the event loop after each batch. `failing`
    says that nothing of the last batch could be written.
    """

    def __init__(
        self,
        thread: ThreadPoolExecutor,
        commit: Callable[[Sequence[Append]], Outcomes],
        tidy: Callable[[], None],
        committed: Callable[[], None],
    ) -> None:
        self._thread, self._commit, self._tidy, self._committed = thread, commit, tidy, committed
        self._loop = asyncio.get_running_loop()
        self._pending: deque[Waiting] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._closed = False
        self.failing = False

    async def append(self, append: Append) -> Appended:
        self._require_open()
        if len(self._pending) >= MAX_PENDING:
            raise Unavailable(f"{MAX_PENDING} commands are waiting to be written")
        answer: asyncio.Future[Appended] = self._loop.create_future()
        self._pending.append((append, answer))
        if self._draining is None:
            self._draining = self._loop.create_task(self._drain())
        return await answer

    async def run(self, job: Callable[[], T]) -> T:
        """Runs something else in the thread, between two batches."""
        self._require_open()
        return await self._loop.run_in_executor(self._thread, job)

    async def close(self) -> None:
        """Takes nothing more, and waits until all that was taken is written."""
        self._closed = True
        if self._draining is not None:
            await asyncio.wait([self._draining])
        if self._idle is not None:
            self._idle.cancel()

    async def _drain(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        while batch := self._next_batch():
            began = time.perf_counter()
            outcomes = await self._written([append for append, _ in batch])
            self.failing = all(isinstance(outcome, Unavailable) for outcome in outcomes)
            store_metrics.wrote(outcomes, began)
            for (_, answer), outcome in zip(batch, outcomes, strict=True):
                _settle(answer, outcome)
            self._committed()
        self._draining = None
        if not self._closed:
            self._idle = self._loop.call_later(IDLE_SECONDS, self._thread.submit, self._tidy)

    async def _written(self, appends: Sequence[Append]) -> Outcomes:
        try:
            return await self._loop.run_in_executor(self._thread, self._commit, appends)
        except Exception as error:
            return [error] * len(appends)

    def _next_batch(self) -> Sequence[Waiting]:
        batch: list[Waiting] = []
        while self._pending and len(batch) < MAX_BATCH:
            append, answer = self._pending.popleft()
            if not answer.done():  # whoever stopped waiting before it was begun has not commanded it
                batch.append((append, answer))
        return batch

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable("the log is closed")


def _settle(answer: asyncio.Future[Appended], outcome: Appended | Exception) -> None:
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
