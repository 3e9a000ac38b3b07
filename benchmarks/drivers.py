"""The bare drivers of the databases, doing what a store cannot do without: lock, look at the end, insert, commit."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

import psycopg

from services.common.eventsourcing.sql_schema import events, requests

STREAMS = 1000
DATA, META, HASH, ANSWER = bytes(200), bytes(40), bytes(32), bytes(100)
PAGE = 5000

Row = tuple[object, ...]


class Driver(Protocol):
    """One connection, and the database's own words for what a log needs."""

    name: str

    def append(self, numbers: Sequence[int]) -> None:
        """One transaction: an event and the answer to a request for each number."""

    def page(self, after: int) -> Sequence[Row]:
        """The next events, up to PAGE."""


class SqliteDriver:
    name = f"sqlite3 {sqlite3.sqlite_version}"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def append(self, numbers: Sequence[int]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        (last,) = self._connection.execute(LAST).fetchone()
        self._connection.executemany(insert_event("?"), event_rows(last, numbers))
        self._connection.executemany(insert_request("?"), request_rows(last, numbers))
        self._connection.execute("COMMIT")

    def page(self, after: int) -> Sequence[Row]:
        return self._connection.execute(SCAN.format(mark="?"), (after, PAGE)).fetchall()


class PostgresDriver:
    name = f"psycopg {psycopg.__version__}"

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def append(self, numbers: Sequence[int]) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(1)")
            (last,) = cursor.execute(LAST).fetchone() or (0,)
            assert isinstance(last, int)  # noqa: S101 # it is a bigint
            cursor.executemany(insert_event("%s").encode(), event_rows(last, numbers))
            cursor.executemany(insert_request("%s").encode(), request_rows(last, numbers))

    def page(self, after: int) -> Sequence[Row]:
        with self._connection.cursor(binary=True) as cursor:
            return cursor.execute(SCAN.format(mark="%s").encode(), (after, PAGE)).fetchall()


LAST = "SELECT coalesce(max(position), 0) FROM events"
SCAN = "SELECT * FROM events WHERE position > {mark} ORDER BY position LIMIT {mark}"


def insert_event(mark: str) -> str:
    return f"INSERT INTO events VALUES ({', '.join([mark] * len(events.columns))})"  # noqa: S608 # placeholders only


def insert_request(mark: str) -> str:
    return f"INSERT INTO requests VALUES ({', '.join([mark] * len(requests.columns))})"  # noqa: S608 # placeholders only


def event_rows(last: int, numbers: Sequence[int]) -> list[Row]:
    rest = (bytes(16), "endpoint.changed", 1, 0)
    return [
        (position, f"endpoint-{number % STREAMS}", number, *rest, f"cell-{number % 7}", 0, DATA, META, HASH)
        for position, number in enumerate(numbers, last + 1)
    ]


def request_rows(last: int, numbers: Sequence[int]) -> list[Row]:
    return [
        ("acme", "shop", "CreateEndpoint", f"request-{number}", HASH, ANSWER, position, 1)
        for position, number in enumerate(numbers, last + 1)
    ]


@contextmanager
def sqlite_driver(path: Path) -> Iterator[Driver]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        yield SqliteDriver(connection)


@contextmanager
def postgres_driver(url: str) -> Iterator[Driver]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield PostgresDriver(connection)
