"""What differs between databases: one room for each implements this."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.common.eventsourcing.store import Unavailable, WrongSchema

READERS = 4


class Database(Protocol):
    @property
    def where(self) -> str:
        """Names the database in messages; without secrets."""

    def writer(self) -> Engine:
        """For one connection."""

    def readers(self) -> Engine:
        """For READERS connections that cannot write."""

    def lock(self, connection: Connection) -> None:
        """Takes the log's lock until the transaction ends: what it reads from then on is the latest there is."""

    def snapshot(self, connection: Connection) -> None:
        """Has all that the transaction reads from then on be of one moment."""

    def unhurried(self, connection: Connection) -> None:
        """Lets the statements of this transaction take as long as they need: a log is being opened."""

    def each_key(self, width: int) -> Sequence[ColumnElement[str]]:
        """The columns of a table with a row for each key that the statement is given, to select from."""

    def keys(self, keys: Collection[tuple[str, ...]]) -> Mapping[str, object]:
        """The parameters that give the keys to a statement."""

    @property
    def driver_error(self) -> type[Exception]:
        """The root of what the driver raises."""

    def is_away(self, error: BaseException | None) -> bool:
        """Whether the driver's error is the database's fault: away, full, busy or broken."""

    def is_foreign(self, error: BaseException | None) -> bool:
        """Whether the driver's error says that what was opened is no database of this kind."""

    def protect(self, connection: Connection) -> None:
        """Makes the database refuse to change or delete events, once its tables are there."""

    def tidy(self, connection: Connection) -> None:
        """What the writer does for the database when there is nothing to write."""


@contextmanager
def database_errors(database: Database) -> Iterator[None]:
    """Raises Unavailable for the database's faults, WrongSchema if it is none; a fault of ours stays what it is."""
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable(f"{database.where}: every connection is in use") from error
    except (DBAPIError, database.driver_error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if database.is_foreign(cause):
            raise WrongSchema(f"{database.where} is something else: give the log a database of its own") from error
        if database.is_away(cause):
            raise Unavailable(f"{database.where}: {' '.join(str(cause).split())}") from error
        raise
