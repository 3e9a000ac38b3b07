"""The event store on a SQL database."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, delete, insert

from services.common.eventsourcing import sql_snapshots
from services.common.eventsourcing.database import Database
from services.common.eventsourcing.database_url import database_at
from services.common.eventsourcing.group_commit import GroupCommit
from services.common.eventsourcing.holdings import Holdings
from services.common.eventsourcing.limits import can_be_kept, require_limits
from services.common.eventsourcing.projection import Projection
from services.common.eventsourcing.snapshots import Kept, Snapshot
from services.common.eventsourcing.sql_queries import LogQueries
from services.common.eventsourcing.sql_readers import SqlReaders
from services.common.eventsourcing.sql_schema import checkpoints, log_info
from services.common.eventsourcing.sql_writer import SqlWriter
from services.common.eventsourcing.sqlite import Synchronous
from services.common.eventsourcing.store import Append, Appended, Head, RecordedEvent, RequestKey, Unavailable
from services.common.eventsourcing.tail_watch import TailWatch

T = TypeVar("T")

PROOF = "proof-of-writing"
"""A checkpoint that is nobody's: when the log was last found writable, in nanoseconds since the epoch."""


class SqlStore:
    """An EventStore with one thread that writes and some that read. To be made by `open`, in the event loop."""

    def __init__(self, database: Database, writer: SqlWriter, writing: ThreadPoolExecutor) -> None:
        self._database = database
        self._writer = writer
        self._writing = writing
        self._readers = SqlReaders(database)
        self._queries = LogQueries(self._readers.dialect)
        self._watch = TailWatch(self._position)
        self._log = GroupCommit(writing, writer.commit, writer.tidy, self._committed)
        self._closed = False
        self._committed()

    @classmethod
    async def open(
        cls,
        url_or_path: str | Path,
        *,
        projections: Sequence[Projection] = (),
        synchronous: Synchronous = "FULL",
        program: str = "",
    ) -> "SqlStore":
        """The log there, made if there is none. Raises NotALog, WrongSchema, or Unavailable if it cannot be opened.

        A path or sqlite:///path is a file of SQLite's, postgresql://USER:PASSWORD@HOST:PORT/NAME a database that is
        there.

        `program` is whose log it is: another program's is not opened.
        `synchronous` is SQLite's: NORMAL is faster and may lose the last commits to a loss of power.
        """
        database = database_at(url_or_path, synchronous)
        writing = ThreadPoolExecutor(1, "log-writer")
        try:
            writer = await asyncio.get_running_loop().run_in_executor(
                writing, SqlWriter, database, projections, program
            )
        except BaseException:
            writing.shutdown(wait=False)
            raise
        return cls(database, writer, writing)

    @property
    def continuity(self) -> int:
        return self._writer.continuity

    async def append(self, append: Append) -> Appended:
        require_limits(append)
        return await self._log.append(append)

    async def recall(self, key: RequestKey, command_hash: bytes) -> Appended | None:
        if not all(map(can_be_kept, astuple(key))):
            return None
        answered = await self.query(lambda connection: self._queries.answered(connection, key))
        return None if answered is None else answered.again(command_hash)

    async def load(self, stream: str, after: int = 0) -> Sequence[RecordedEvent]:
        if not can_be_kept(stream):
            return []
        return await self.query(lambda connection: self._queries.load(connection, stream, after))

    async def read(self, after: int, limit: int, partition: str | None = None) -> Sequence[RecordedEvent]:
        if partition is not None and not can_be_kept(partition):
            return []
        return await self.query(lambda connection: self._queries.read(connection, after, limit, partition))

    async def head(self) -> Head:
        return await self.query(self._queries.head)

    async def holders(self, kind: str, prefix: str) -> Mapping[str, str]:
        if not can_be_kept(kind + prefix):
            return {}
        return await self.query(lambda connection: self._queries.holders(connection, kind, prefix))

    async def count(self, kind: str, key: str) -> int:
        if not can_be_kept(kind + key):
            return 0
        return await self.query(lambda connection: self._queries.count(connection, kind, key))

    async def holdings(self) -> Holdings:
        """All claims and counters, to be compared with what a rebuild gives."""
        return await self.query(self._queries.holdings)

    async def checkpoint(self, name: str) -> int:
        return await self.query(lambda connection: self._queries.checkpoint(connection, name))

    async def save_checkpoint(self, name: str, position: int) -> None:
        def save(connection: Connection) -> None:
            connection.execute(delete(checkpoints).where(checkpoints.c.name == name))
            connection.execute(insert(checkpoints).values(name=name, position=position, version=0))

        await self._log.run(lambda: self._writer.run(save))

    @property
    def position(self) -> int:
        """The position of the last event that this process knows of."""
        return self._watch.seen

    @property
    def failing(self) -> bool:
        """Whether nothing of what was last to be written could be."""
        return self._log.failing

    async def prove_writable(self) -> None:
        """Writes when it was last asked to, durably. Raises Unavailable where a command could not be written now."""
        # Not what is there already: a page that is written over with the same bytes never gets to the disk.
        await self.save_checkpoint(PROOF, time.time_ns())
        self._log.failing = False

    async def begin_epoch(self, epoch: int) -> Head:
        def begin(connection: Connection) -> Head:
            connection.execute(log_info.update().where(log_info.c.epoch == epoch).values(epoch=epoch + 1))
            return self._queries.head(connection)

        return await self._log.run(lambda: self._writer.run(begin))

    async def snapshot(self, reducer: int, position: int) -> Snapshot | None:
        return await self.query(lambda connection: sql_snapshots.nearest(connection, reducer, position))

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        await self._log.run(lambda: self._writer.run(lambda connection: sql_snapshots.save(connection, snapshot)))

    async def snapshots(self) -> Sequence[Kept]:
        return await self.query(sql_snapshots.kept)

    async def drop_snapshots(self, positions: Collection[int]) -> None:
        await self._log.run(lambda: self._writer.run(lambda connection: sql_snapshots.drop(connection, positions)))

    async def events_at(self, positions: Collection[int]) -> Sequence[RecordedEvent]:
        return await self.query(lambda connection: sql_snapshots.events_at(connection, positions))

    async def write(self, function: Callable[[Connection], T]) -> T:
        """What the function does to tables that are no part of the log, in a transaction that is durable then."""
        return await self._log.run(lambda: self._writer.run(function))

    async def query(self, function: Callable[[Connection], T]) -> T:
        """What the function reads of log and projections, all of it at one position; `tail` tells which."""
        if self._closed:
            raise Unavailable("the log is closed")
        return await self._readers.run(function)

    async def rebuild(self) -> None:
        """Makes the projections' tables anew from the first event on."""
        await self._log.run(self._writer.rebuild)

    async def wait_beyond(self, position: int) -> None:
        await self._watch.beyond(position)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._watch.close()
        await self._log.close()
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        self._readers.close()
        self._writing.submit(self._writer.close)  # last, for the last connection tidies up
        self._writing.shutdown()

    def _committed(self) -> None:
        self._watch.saw(self._writer.position)

    async def _position(self) -> int:
        return (await self.query(self._queries.tail)).position
