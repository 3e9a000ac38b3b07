"""Reads of a log: each is a transaction of its own, which sees log and projections at one position."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Dialect

from services.common.eventsourcing.database import READERS, Database, database_errors

T = TypeVar("T")


class SqlReaders:
    """READERS threads with a connection each."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = database.readers()
        self._threads = ThreadPoolExecutor(READERS, "log-reader")

    @property
    def dialect(self) -> Dialect:
        return self._engine.dialect

    async def run(self, function: Callable[[Connection], T]) -> T:
        """What the function reads; it may be called twice. Raises Unavailable where the database is away."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, function)

    def close(self) -> None:
        """Waits for what is being read."""
        self._threads.shutdown()
        self._engine.dispose()

    def _run(self, function: Callable[[Connection], T]) -> T:
        with database_errors(self._database):
            with self._engine.connect() as connection:
                try:
                    return self._read(connection, function)
                except Exception:
                    if not connection.invalidated:
                        raise
            with (
                self._engine.connect() as connection
            ):  # the server had let go of the first one; the pool forgot the rest
                return self._read(connection, function)

    def _read(self, connection: Connection, function: Callable[[Connection], T]) -> T:
        with connection.begin():
            self._database.snapshot(connection)
            return function(connection)
