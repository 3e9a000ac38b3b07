"""A real nats-server to break, and what publishes to it and follows from it."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from services.common.eventsourcing.store import AnyVersion, Append, EventStore, NewEvent, RecordedEvent
from services.common.identity.nats import rights
from services.common.messaging import subjects
from services.common.messaging.connection import Connection, connect
from services.common.messaging.form import Form, SubjectOf
from services.common.messaging.readers import Round, keep, live
from services.common.messaging.relay import RECHECK, GrowingLog, Relay
from services.common.messaging.server import NatsServer
from services.common.messaging.stream import ENDPOINT, LogEpoch, Topic
from services.common.messaging.subjects import Selection
from services.common.messaging.subscription import GapFill, Subscription
from tests.support import identity
from tests.support.cell import WHOLE_LOG, cell_subject

DEADLINE = 60.0
"""Seconds that anything here may take; what takes longer is stuck."""


async def append(store: EventStore, count: int = 1, partition: str = "c1", data: bytes = b"fact") -> int:
    """Appends events in one go and gives the position of the last."""
    events = [NewEvent("endpoint_requested", data)] * count
    appended = await store.append(Append(f"endpoint-{partition}", AnyVersion(), events, at=1, partition=partition))
    return appended.position


def filler(store: EventStore, partition: str | None = None, page: int = 100) -> GapFill:
    """What a subscriber asks of the log's owner, page by page."""

    async def fill(after: int, upto: int) -> Sequence[RecordedEvent]:
        return [event for event in await store.read(after, page, partition) if event.position <= upto]

    return fill


class Nats:
    """A server that can be hurt."""

    def __init__(self, server: NatsServer) -> None:
        self.server = server

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

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP for a while: connected, and silent."""
        self.server.signal(signal.SIGSTOP)
        while "\nState:\tT" not in Path(f"/proc/{self.server.pid}/status").read_text():
            pass  # it may answer until then
        try:
            yield
        finally:
            self.server.signal(signal.SIGCONT)


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Nats]:
    async with server_at(directory) as server:
        yield Nats(server)


def server_at(directory: Path, port: int = 0) -> NatsServer:
    """A server with the users of this test run."""
    return NatsServer(directory, identity.nats_authority().server_file, port=port)


@asynccontextmanager
async def connected(nats: Nats, name: str, user: Path | None = None) -> AsyncIterator[Connection]:
    """A connection of the endpoint service's user, or of another."""
    async with asyncio.timeout(DEADLINE):
        connection = await connect(nats.server.url, name, user or identity.nats_user())
    async with connection:
        yield connection


@asynccontextmanager
async def relaying(
    log: GrowingLog,
    connection: Connection,
    topic: Topic = ENDPOINT,
    subject_of: Form | SubjectOf = cell_subject,
    recheck: float = RECHECK,
    *,
    gather: float = 0.0,
) -> AsyncIterator[Relay]:
    relay = Relay(log, connection, topic, subject_of, recheck, gather=gather)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError), ended


@asynccontextmanager
async def serving(connection: Connection, cell: str, *gateways: str) -> AsyncIterator[None]:
    """Makes what gateways of a cell read from, as the endpoint service does."""
    wanted = {rights.gateway(cell, gateway): subjects.of_cell(cell).subject for gateway in gateways}

    async def serve(connection: Connection) -> bool:
        streams = await live(connection, ENDPOINT)
        for stream in streams.values():
            await keep(connection, stream, rights.GATEWAY, wanted)
        return bool(streams)

    task = asyncio.create_task(Round(serve, look=0.1).run(connection))
    try:
        yield
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError), ended


@asynccontextmanager
async def follower(
    store: EventStore, nats: Nats, selection: Selection = WHOLE_LOG, after: int = 0, log: LogEpoch | None = None
) -> AsyncIterator[Subscription]:
    """A subscription on a connection of its own, whose gaps the store fills."""
    fill = filler(store, selection.partition)
    async with (
        connected(nats, "follower") as connection,
        Subscription(connection, ENDPOINT, selection, after=after, gap_fill=fill, log=log) as subscription,
    ):
        yield subscription


async def take(subscription: Subscription, upto: int) -> list[RecordedEvent]:
    """What comes up to and with the event at a position."""
    events: list[RecordedEvent] = []
    async with asyncio.timeout(DEADLINE):
        while not events or events[-1].position < upto:
            events.append(await anext(subscription))
    return events


async def within(condition: Callable[[], bool | Awaitable[bool]], seconds: float = DEADLINE) -> None:
    """Waits until something that nobody tells of is so."""
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.01)


def _replace(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
