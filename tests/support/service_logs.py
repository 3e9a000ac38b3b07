"""Logs for whole services, on every store: opened again and again, with their read tables, in memory too."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from sqlalchemy import Connection, create_engine, insert
from sqlalchemy.pool import StaticPool

from services.common.eventsourcing import sql_schema
from services.common.eventsourcing.memory_store import MemoryStore
from services.common.eventsourcing.projection import Projection
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import Append, Appended, RecordedEvent
from services.common.eventsourcing.tail_watch import TailWatch
from tests.support.stores import LOGS

T = TypeVar("T")

OpenLog = Callable[[Sequence[Projection]], Awaitable[SqlStore]]
"""Opens one log, as often as it is called; each is closed before the next."""


class MemoryTables(MemoryStore):
    """The memory store as services need one: it keeps their read tables in a database that is in memory too."""

    def __init__(self) -> None:
        super().__init__()
        self._engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        self._projections: Sequence[Projection] = ()
        with self._engine.begin() as connection:
            sql_schema.events.create(connection)

    def opened(self, projections: Sequence[Projection]) -> Self:
        """The log as a new process finds it: what was read of it before is forgotten, what was written is there."""
        self._projections, self._closed, self._watch = projections, False, TailWatch(self._position)
        with self._engine.begin() as connection:
            for projection in projections:
                projection.metadata.create_all(connection)
        return self

    async def append(self, append: Append) -> Appended:
        before = len(self._ledger.recorded)
        appended = await super().append(append)
        if new := self._ledger.recorded[before:]:
            with self._engine.begin() as connection:
                connection.execute(insert(sql_schema.events), [event._asdict() for event in new])
                self._project(connection, new)
        return appended

    async def query(self, function: Callable[[Connection], T]) -> T:
        self._require_open()
        with self._engine.begin() as connection:
            return function(connection)

    async def write(self, function: Callable[[Connection], T]) -> T:
        return await self.query(function)

    async def rebuild(self) -> None:
        with self._engine.begin() as connection:
            for projection in self._projections:
                projection.metadata.drop_all(connection)
                projection.metadata.create_all(connection)
            self._project(connection, self._ledger.recorded)

    def forget(self) -> None:
        self._engine.dispose()

    def _project(self, connection: Connection, events: Sequence[RecordedEvent]) -> None:
        for projection in self._projections:
            for event in events:
                projection.apply(connection, event)


@contextmanager
def _in_memory(_directory: Path) -> Iterator[OpenLog]:
    kept = MemoryTables()

    async def open_log(projections: Sequence[Projection]) -> SqlStore:
        return cast("SqlStore", kept.opened(projections))

    try:
        yield open_log
    finally:
        kept.forget()


def _in(database: str) -> Callable[[Path], Any]:
    @contextmanager
    def log(directory: Path) -> Iterator[OpenLog]:
        with LOGS[database](directory) as where:

            async def open_log(projections: Sequence[Projection]) -> SqlStore:
                return await SqlStore.open(where, projections=projections, synchronous="NORMAL")

            yield open_log

    return log


SERVICE_LOGS = {"memory": _in_memory, **{database: _in(database) for database in LOGS}}
"""A new log, on each store that there is."""
