"""SQLite as the log's database: a file in WAL mode, one connection that writes and checkpoints, some that read."""

import json
import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Text,
    bindparam,
    create_engine,
    event,
    func,
    literal_column,
)
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.pool import ConnectionPoolEntry

from services.common.eventsourcing.database import READERS

Synchronous = Literal["FULL", "NORMAL"]

BUSY_MILLISECONDS = 2000
REFUSED_SECONDS = 0.005
CHECKPOINT_PAGES = 4096
"""A log that is never idle checkpoints when the WAL has grown to this (16 MiB)."""

WAL_BYTES_KEPT = 64 * 1024 * 1024
CHECKPOINTS_RACE_BEFORE = (3, 51, 3)
"""Older SQLite may lose commits when two connections checkpoint at once: sqlite.org/wal.html#walresetbug."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sqlite:
    """With `synchronous` NORMAL, commits survive the death of the process, but the last ones no loss of power."""

    path: Path
    synchronous: Synchronous = "FULL"

    @property
    def where(self) -> str:
        return str(self.path)

    def writer(self) -> Engine:
        if sqlite3.sqlite_version_info < CHECKPOINTS_RACE_BEFORE:
            log.info("this SQLite wants one program per log", sqlite=sqlite3.sqlite_version, path=self.where)
        pragmas = {
            "busy_timeout": BUSY_MILLISECONDS,
            "synchronous": self.synchronous,
            "foreign_keys": "ON",
            "wal_autocheckpoint": CHECKPOINT_PAGES,
            "journal_size_limit": WAL_BYTES_KEPT,
        }
        engine = self._engine(1, pragmas)

        @event.listens_for(engine, "connect")
        def keep_a_wal(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
            with closing(connection.cursor()) as cursor:
                _keep_a_wal(cursor)

        return engine

    def readers(self) -> Engine:
        pragmas = {"busy_timeout": BUSY_MILLISECONDS, "query_only": "ON", "wal_autocheckpoint": 0}
        return self._engine(READERS, pragmas)

    def lock(self, connection: Connection) -> None:
        _execute(connection, "BEGIN IMMEDIATE")

    def snapshot(self, connection: Connection) -> None:
        _execute(connection, "BEGIN")

    def unhurried(self, connection: Connection) -> None:
        """Nothing is to be done: no statement is hurried."""

    def each_key(self, width: int) -> Sequence[ColumnElement[str]]:
        key = func.json_each(bindparam("keys")).table_valued("value").c.value
        return [func.json_extract(key, literal_column(f"'$[{place}]'"), type_=Text) for place in range(width)]

    def keys(self, keys: Collection[tuple[str, ...]]) -> Mapping[str, object]:
        return {"keys": json.dumps(list(keys))}

    @property
    def driver_error(self) -> type[Exception]:
        return sqlite3.Error

    def is_away(self, error: BaseException | None) -> bool:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        return type(error) in (sqlite3.OperationalError, sqlite3.DatabaseError) and code & 0xFF != sqlite3.SQLITE_ERROR

    def is_foreign(self, error: BaseException | None) -> bool:
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB

    def protect(self, connection: Connection) -> None:
        for change in ("UPDATE", "DELETE"):
            name = f"events_refuse_{change.lower()}"
            refuse = "SELECT RAISE(ABORT, 'events are only ever added')"
            _execute(connection, f"CREATE TRIGGER {name} BEFORE {change} ON events BEGIN {refuse}; END")

    def tidy(self, connection: Connection) -> None:
        _execute(connection, "PRAGMA wal_checkpoint(PASSIVE)")

    def _engine(self, connections: int, pragmas: Mapping[str, object]) -> Engine:
        url = URL.create("sqlite", database=self.where)
        engine = create_engine(url, pool_size=connections, max_overflow=0)

        @event.listens_for(engine, "connect")
        def configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
            connection.isolation_level = None  # the driver would begin too late for a lock, and not at all for a read
            with closing(connection.cursor()) as cursor:
                for name, value in pragmas.items():
                    cursor.execute(f"PRAGMA {name}={value}")

        return engine


def _keep_a_wal(cursor: DBAPICursor) -> None:
    """Has the file be in WAL mode. Of those that make a new log at once SQLite refuses some without any waiting.

    Each reads before it would write: were they to wait for one another, they would for ever. So one that is refused
    lets go and tries again, for as long as SQLite itself waits for a lock.
    """
    deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(REFUSED_SECONDS)
        else:
            return


def _execute(connection: Connection, statement: str) -> None:
    """By the driver itself: these are what begins a transaction, or must not be in one."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(statement)
