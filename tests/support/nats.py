"""A real nats-server to break, and a log to publish from it that can be restored from a backup."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from services.common.eventsourcing.store import GENESIS, Head, RecordedEvent
from services.common.messaging import subjects
from services.common.messaging.connection import Connection
from services.common.messaging.publisher import SubjectOf
from services.common.messaging.relay import Relay
from services.common.messaging.server import NatsServer
from services.common.messaging.stream import ENDPOINT, Topic
from sidegate.evidence import link_hash

DEADLINE = 20.0
"""Seconds that anything here may take; what takes longer is stuck."""


def cell_subject(event: RecordedEvent) -> str:
    return subjects.endpoint(event.partition, "endpoint", "p1", event.stream.partition("-")[2])


@dataclass(frozen=True, slots=True)
class Backup:
    log_id: str
    epoch: int
    events: tuple[RecordedEvent, ...]


class ListLog:
    """A log in memory: what a relay asks of a store, and backups."""

    def __init__(self, name: str = "") -> None:
        self.log_id = name or str(uuid4())
        self.epoch = 1
        self.events: list[RecordedEvent] = []
        self._grown = asyncio.Event()

    @property
    def position(self) -> int:
        return len(self.events)

    def add(self, count: int = 1, partition: str = "c1", data: bytes | None = None) -> int:
        """Appends events and gives the position of the last; each one's data are its own, whatever history it is in."""
        for _ in range(count):
            position = len(self.events) + 1
            prev = next((e.position for e in reversed(self.events) if e.partition == partition), 0)
            content = data if data is not None else f"{position} {uuid4()}".encode()
            previous = self.events[-1].hash if self.events else GENESIS
            event = RecordedEvent(
                position=position,
                stream=f"endpoint-{position}",
                version=1,
                event_id=uuid4().bytes,
                type="endpoint_requested",
                schema_version=1,
                recorded_at=position,
                partition=partition,
                prev=prev,
                data=content,
                meta=b"\x00\xff",
                hash=b"",
            )
            self.events.append(event._replace(hash=link_hash(self.log_id, previous, event)))
        self._grown.set()
        return len(self.events)

    def backup(self) -> Backup:
        return Backup(self.log_id, self.epoch, tuple(self.events))

    def restore(self, backup: Backup) -> None:
        self.log_id, self.epoch, self.events = backup.log_id, backup.epoch, list(backup.events)

    async def read(self, after: int, limit: int) -> Sequence[RecordedEvent]:
        return self.events[after : after + limit]

    async def head(self) -> Head:
        last = self.events[-1].hash if self.events else GENESIS
        return Head(self.log_id, self.epoch, len(self.events), last)

    async def begin_epoch(self, epoch: int) -> Head:
        if epoch == self.epoch:
            self.epoch += 1
        return await self.head()

    async def wait_beyond(self, position: int) -> None:
        while len(self.events) <= position:
            self._grown.clear()
            await self._grown.wait()

    async def fill(self, after: int, upto: int) -> Sequence[RecordedEvent]:
        """What a subscriber asks of the log's owner, of all partitions."""
        return self.events[after:upto]

    def filler(self, partition: str, page: int = 100) -> Callable[[int, int], Awaitable[Sequence[RecordedEvent]]]:
        """The same for one partition, page by page."""

        async def fill(after: int, upto: int) -> Sequence[RecordedEvent]:
            return [event for event in self.events[after:upto] if event.partition == partition][:page]

        return fill


class Nats:
    """A server that can be hurt."""

    def __init__(self, server: NatsServer) -> None:
        self.server = server

    @property
    def url(self) -> str:
        return self.server.url

    async def crash(self, between: Callable[[Path], None] = lambda _store: None) -> None:
        """kill -9, something done to the store, and a start at the same address."""
        await self.server.kill()
        between(self.server.store)
        await self.server.start()

    async def wipe(self) -> None:
        await self.crash(shutil.rmtree)

    async def copy(self, to: Path) -> None:
        """A crash after which the store is copied."""
        await self.crash(lambda store: _replace(store, to))

    async def roll_back(self, copy: Path) -> None:
        await self.crash(lambda store: _replace(copy, store))

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """SIGSTOP for a while: connected, and silent."""
        self.server.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.server.signal(signal.SIGCONT)


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Nats]:
    async with NatsServer(directory) as server:
        yield Nats(server)


@asynccontextmanager
async def relaying(
    log: ListLog, connection: Connection, topic: Topic = ENDPOINT, subject_of: SubjectOf = cell_subject
) -> AsyncIterator[Relay]:
    relay = Relay(log, connection, topic, subject_of)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        ended = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended[0], asyncio.CancelledError), ended


def _replace(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
