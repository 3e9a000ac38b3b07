"""The log's one writer: a batch of appends is one transaction. All of it runs in the writer's thread."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import structlog
from sqlalchemy import Connection, Transaction

from services.common.eventsourcing.database import Database, database_errors
from services.common.eventsourcing.holdings import Holdings
from services.common.eventsourcing.ledger import Ledger, Tail
from services.common.eventsourcing.projection import Projection, Projector
from services.common.eventsourcing.sql_ledger import LedgerTables
from services.common.eventsourcing.sql_log import open_log
from services.common.eventsourcing.sql_queries import LogQueries
from services.common.eventsourcing.store import Append, Appended, Conflict, OutcomeUnknown, Unavailable

T = TypeVar("T")

log = structlog.get_logger(__name__)


class NotBegun(Unavailable):
    """The database is away or another holds the log's lock: no append is to blame."""


class SqlWriter:
    """Opens the log: makes its tables, or brings them to this version, and the projections up to its end."""

    def __init__(self, database: Database, projections: Sequence[Projection], program: str = "") -> None:
        self._database = database
        self._program = program
        self._engine = database.writer()
        self._queries = LogQueries(self._engine.dialect)
        self._tables = LedgerTables(database, self._engine.dialect, self._queries)
        self._projector = Projector(projections, self._queries)
        self.continuity = 0
        with database_errors(database):
            self._connection = self._engine.connect()
        try:
            self._log_id, self._tail = self.run(self._open)
        except BaseException:
            self.close()
            raise

    @property
    def position(self) -> int:
        """Of the last event that it has written, or found when it opened the log."""
        return self._tail.position

    def commit(self, appends: Sequence[Append]) -> Sequence[Appended | Exception]:
        """What became of each append. One that the database refuses takes none of the others with it."""
        try:
            return self._commit(appends)
        except NotBegun as error:
            return [NotBegun(*error.args) for _ in appends]  # alone, each of them would wait for the database again
        except OutcomeUnknown as error:
            return [OutcomeUnknown(*error.args) for _ in appends]  # alone, each of them might be stored twice
        except Exception as error:
            if len(appends) == 1:
                return [error]
        middle = len(appends) // 2
        return [*self.commit(appends[:middle]), *self.commit(appends[middle:])]

    def run(self, function: Callable[[Connection], T]) -> T:
        """Anything else that is written: a transaction of its own."""
        with self._transaction() as connection:
            return function(connection)

    def rebuild(self) -> None:
        """Makes the projections' tables anew."""
        self.run(self._projector.rebuild)

    def tidy(self) -> None:
        try:
            with database_errors(self._database):
                self._database.tidy(self._connection)
        except Unavailable as error:
            log.warning("cannot tidy up the log's database", error=str(error))

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()

    def _open(self, connection: Connection) -> tuple[str, Tail]:
        self._database.unhurried(connection)
        log_id = open_log(connection, self._database, self._program)
        self._projector.open(connection)
        return log_id, self._queries.tail(connection)

    def _commit(self, appends: Sequence[Append]) -> Sequence[Appended | Exception]:
        with self._transaction() as connection:
            ledger = self._tables.open(connection, self._log_id, appends)
            before, as_left = _copy(ledger), ledger.tail == self._tail
            if not as_left:
                self.continuity += 1
            outcomes = [self._append(ledger, append) for append in appends]
            self._tables.save(connection, before, ledger)
            if ledger.recorded:
                self._projector.advance(connection, ledger.recorded, next_=as_left)
        self._tail = ledger.tail
        return outcomes

    def _append(self, ledger: Ledger, append: Append) -> Appended | Exception:
        if append.continuity not in (None, self.continuity):
            return Conflict(append.stream, ledger.versions.get(append.stream, 0))
        try:
            return ledger.append(append)
        except Exception as error:
            return error

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with database_errors(self._database):
            transaction = self._begin()
            try:
                yield self._connection
            except BaseException:
                self._abandon(transaction)
                raise
            self._complete(transaction)

    def _begin(self) -> Transaction:
        try:
            with database_errors(self._database):
                return self._locked_at_last()
        except Unavailable as error:
            raise NotBegun(*error.args) from error

    def _locked_at_last(self) -> Transaction:
        try:
            return self._locked()
        except Exception:
            if not self._connection.invalidated:
                raise
        return self._locked()  # the server had let go of the connection while nothing was written

    def _locked(self) -> Transaction:
        if self._connection.invalidated:
            self._connection = self._engine.connect()
        transaction = self._connection.begin()
        try:
            self._database.lock(self._connection)
        except BaseException:
            self._abandon(transaction)
            raise
        return transaction

    def _abandon(self, transaction: Transaction) -> None:
        """Rolls back; a connection over which that cannot be done is of no use any more."""
        try:
            transaction.rollback()
        except Exception as error:
            log.warning("the log's connection is lost", where=self._database.where, why=str(error))
            self._connection.invalidate()

    def _complete(self, transaction: Transaction) -> None:
        try:
            transaction.commit()
        except BaseException as error:
            self._abandon(transaction)
            if self._connection.invalidated:
                raise OutcomeUnknown(f"{self._database.where} went away while it committed") from error
            raise


def _copy(ledger: Ledger) -> Ledger:
    holdings = Holdings(dict(ledger.holdings.claims), dict(ledger.holdings.counters))
    return replace(ledger, requests=dict(ledger.requests), holdings=holdings)
