"""The flow log: what the data plane tells of sessions, kept until it is written down, and shown to who follows.

Nothing here ever waits for a reader or a disk: where there is no room, what is new is dropped and counted.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import structlog

from services.gateway_agent.flows import OFF, FlowRecord, FlowSource

MOST_WAITING = 20_000
"""Records that wait to be written down; each is some 500 bytes."""

AT_ONCE = 1000
GATHER_SECONDS = 0.2
RETRY_SECONDS = 1.0
LAST_SECONDS = 1.0
"""For what waits when the agent is told to stop."""

REMEMBERED = 1000
MOST_BEHIND = 5000
"""Records that wait for one who follows."""

log = structlog.get_logger(__name__)


class NotWritten(Exception):
    """The records could not be written down now; the text says why. They are tried again."""


class Sink(Protocol):
    """Where records are written down."""

    async def write(self, records: Sequence[FlowRecord]) -> None:
        """All of them, AT_ONCE at most, or none. Raises NotWritten."""


@dataclass(slots=True)
class Counts:
    """What became of records. `lost`: in the kernel, since they were not read in time; `dropped`: here, for want of
    room. What was written may be of no use to anybody: see the sink."""

    written: int = 0
    dropped: int = 0
    lost: int = 0


class Follower:
    """Records as they come, for one reader; those that it is too slow for are left out, and counted."""

    def __init__(self) -> None:
        self._waiting: deque[FlowRecord] = deque()
        self._news = asyncio.Event()
        self._left_out = 0

    def tell(self, record: FlowRecord) -> None:
        if len(self._waiting) >= MOST_BEHIND:
            self._left_out += 1
        else:
            self._waiting.append(record)
        self._news.set()

    async def batch(self) -> tuple[Sequence[FlowRecord], int]:
        """What has come, and how many were left out since the last time."""
        await self._news.wait()
        self._news.clear()
        records, left_out = list(self._waiting), self._left_out
        self._waiting.clear()
        self._left_out = 0
        return records, left_out


class FlowLog:
    """Of one in `one_of` sessions; with OFF it does nothing, and the data plane tells nothing."""

    def __init__(self, source: FlowSource, sink: Sink | None = None, one_of: int = OFF) -> None:
        self._source, self._sink, self.one_of = source, sink, one_of
        self._waiting: deque[FlowRecord] = deque()
        self._news = asyncio.Event()
        self._newest: deque[FlowRecord] = deque(maxlen=REMEMBERED)
        self._followers: set[Follower] = set()
        self._counts = Counts()

    @property
    def on(self) -> bool:
        return self.one_of != OFF

    def counts(self) -> Counts:
        self._counts.lost = self._source.lost_flows() if self.on else 0
        return self._counts

    def newest(self, count: int) -> Sequence[FlowRecord]:
        """Oldest first; up to REMEMBERED."""
        return list(self._newest)[-count:] if count else []

    @contextmanager
    def following(self) -> Iterator[Follower]:
        follower = Follower()
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    async def run(self) -> None:
        """Until cancelled. With a data plane that is open."""
        self._source.sample_flows(self.one_of)
        if not self.on:
            return
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self._read())
                if self._sink is not None:
                    parts.create_task(self._write(self._sink))
        finally:
            if self._sink is not None:
                with suppress(NotWritten, TimeoutError):
                    async with asyncio.timeout(LAST_SECONDS):
                        while self._waiting:
                            await self._write_some(self._sink)

    async def _read(self) -> None:
        async with aclosing(self._source.flows()) as records:
            async for record in records:
                self._take(record)

    def _take(self, record: FlowRecord) -> None:
        self._newest.append(record)
        for follower in self._followers:
            follower.tell(record)
        if self._sink is None:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._counts.dropped += 1
            return
        self._waiting.append(record)
        self._news.set()

    async def _write(self, sink: Sink) -> None:
        """Tries until it succeeds; meanwhile what is new is dropped once there is no room for it."""
        failing = False
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._news.clear()
            while self._waiting:
                try:
                    await self._write_some(sink)
                except NotWritten as error:
                    if not failing:  # said once, not at every attempt
                        log.warning("the flow log cannot be written, trying again", why=str(error))
                    failing = True
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                if failing:
                    log.info("the flow log is written again", dropped=self._counts.dropped)
                failing = False

    async def _write_some(self, sink: Sink) -> None:
        """What is written goes only then: more may come behind it meanwhile."""
        batch = list(islice(self._waiting, AT_ONCE))
        await sink.write(batch)
        for _ in batch:
            self._waiting.popleft()
        self._counts.written += len(batch)
