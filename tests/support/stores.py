"""Event stores to test, and what every test of them needs."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, select, text

from services.common.eventsourcing.memory_store import MemoryStore
from services.common.eventsourcing.postgres import Postgres
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.sqlite import Sqlite
from services.common.eventsourcing.store import (
    AnyVersion,
    Append,
    Constraints,
    Expected,
    NewEvent,
    RecordedEvent,
    Request,
    RequestKey,
)
from tests.support import postgres

Store = MemoryStore | SqlStore
OpenStore = Callable[[Path], AbstractAsyncContextManager[Store]]

AT = 1_700_000_000_000_000_000
NO_CONSTRAINTS = Constraints()
ANY = AnyVersion()


@asynccontextmanager
async def memory_store(_directory: Path) -> AsyncIterator[Store]:
    store = MemoryStore()
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def sqlite_log(directory: Path) -> Iterator[str]:
    yield str(directory / "log.sqlite")


@contextmanager
def postgres_log(_directory: Path) -> Iterator[str]:
    with postgres.schema() as url:
        yield url


LOGS: dict[str, Callable[[Path], AbstractContextManager[str]]] = {"sqlite": sqlite_log, "postgres": postgres_log}
"""Where a new log can be made, in each kind of database."""


def stores_in(database: str) -> OpenStore:
    @asynccontextmanager
    async def opened(directory: Path) -> AsyncIterator[Store]:
        with LOGS[database](directory) as where:
            store = await SqlStore.open(where)
            try:
                yield store
            finally:
                await store.close()

    return opened


STORES: dict[str, OpenStore] = {"memory": memory_store, **{database: stores_in(database) for database in LOGS}}
"""Every implementation of the port: the contract suite runs on each."""


def an_append(
    stream: str = "endpoint-1",
    *,
    expected: Expected = ANY,
    events: int = 1,
    at: int = AT,
    partition: str = "cell-1",
    constraints: Constraints = NO_CONSTRAINTS,
    request: Request | None = None,
) -> Append:
    new = [NewEvent("endpoint.changed", f"{stream} {number}".encode(errors="replace")) for number in range(events)]
    return Append(stream, expected, new, at, partition, b"somebody", constraints, request)


def a_request(request_id: str = "r-1", command: str = "create", response: bytes = b"created") -> Request:
    return Request(RequestKey("acme", "shop", "CreateEndpoint", request_id), command.encode().ljust(32), response)


async def whole_log(store: Store) -> Sequence[RecordedEvent]:
    return await store.read(0, 1_000_000)


def attempts_to_lock(database: type[Sqlite | Postgres], monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """Grows with each attempt to take the log's lock, from now on."""
    attempts: list[Connection] = []
    lock = database.lock

    def counted(self: Any, connection: Connection) -> None:
        attempts.append(connection)
        lock(self, connection)

    monkeypatch.setattr(database, "lock", counted)
    return attempts


class Tally:
    """A projection: how many events each stream has."""

    name = "tally"

    def __init__(self, version: int = 1, poison: str = "") -> None:
        self.version = version
        self.metadata = MetaData()
        self._poison = poison
        self._table = Table(
            "tally", self.metadata, Column("stream", Text, primary_key=True), Column("events", Integer, nullable=False)
        )

    def apply(self, connection: Connection, event: RecordedEvent) -> None:
        if event.stream == self._poison:
            raise ValueError(f"{event.stream} is not for this projection")
        upsert = text(
            "INSERT INTO tally (stream, events) VALUES (:stream, 1)"
            " ON CONFLICT (stream) DO UPDATE SET events = tally.events + 1"
        )
        connection.execute(upsert, {"stream": event.stream})

    def read(self, connection: Connection) -> dict[str, int]:
        return {row.stream: row.events for row in connection.execute(select(self._table))}
