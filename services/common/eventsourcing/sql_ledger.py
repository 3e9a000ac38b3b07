"""The part of a log that a batch of appends names, taken from its tables and put back."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, Dialect, func, insert, select

from services.common.eventsourcing.database import Database
from services.common.eventsourcing.driver_statement import DriverStatement
from services.common.eventsourcing.holdings import Holdings
from services.common.eventsourcing.keyed_table import Key, KeyedTable, Values
from services.common.eventsourcing.ledger import Answered, Ledger
from services.common.eventsourcing.sql_queries import LogQueries
from services.common.eventsourcing.sql_schema import claims, counters, events, last_of_partition, requests
from services.common.eventsourcing.store import Append, Appended, Claim, RequestKey


class LedgerTables:
    """Every call is within the writer's transaction, under the log's lock."""

    def __init__(self, database: Database, dialect: Dialect, queries: LogQueries) -> None:
        self._database = database
        self._queries = queries
        (name,) = database.each_key(1)
        version = select(func.max(events.c.version)).where(events.c.stream == name)
        self._versions = DriverStatement(select(name, version.scalar_subquery()), dialect)
        self._partitions = DriverStatement(select(name, last_of_partition(name)), dialect)
        self._insert_events = DriverStatement(insert(events), dialect)
        self._requests = KeyedTable(requests, database, dialect)
        self._claims = KeyedTable(claims, database, dialect)
        self._counters = KeyedTable(counters, database, dialect)

    def open(self, connection: Connection, log_id: str, appends: Sequence[Append]) -> Ledger:
        """All that these appends name, as it is now."""
        held = self._claims.select(connection, {key for append in appends for key in _claim_keys(append)})
        counted = self._counters.select(connection, {key for append in appends for key in _counter_keys(append)})
        answered = self._requests.select(connection, {_key(each.request.key) for each in appends if each.request})
        return Ledger(
            log_id=log_id,
            tail=self._queries.tail(connection),
            versions=self._last(connection, self._versions, {append.stream for append in appends}),
            partitions=self._last(connection, self._partitions, {append.partition for append in appends}),
            requests={RequestKey(*key): _answered(*values) for key, values in answered.items()},
            holdings=Holdings(
                {Claim(*key): stream for key, (stream,) in held.items()},
                {(kind, key): value for (kind, key), (value,) in counted.items()},
            ),
        )

    def save(self, connection: Connection, before: Ledger, after: Ledger) -> None:
        """Writes what the appends have changed."""
        self._insert_events.execute_many(connection, after.recorded)
        self._requests.replace(connection, _request_rows(before), _request_rows(after))
        self._claims.replace(connection, _claim_rows(before), _claim_rows(after))
        self._counters.replace(connection, _counter_rows(before), _counter_rows(after))

    def _last(self, connection: Connection, statement: DriverStatement, names: Collection[str]) -> dict[str, int]:
        rows = statement.rows(connection, **self._database.keys([(name,) for name in names]))
        return {row[0]: row[1] for row in rows if row[1] is not None}


def _key(key: RequestKey) -> Key:
    return key.account, key.project, key.method, key.request_id


def _claim_keys(append: Append) -> Sequence[Key]:
    constraints = append.constraints
    named = (*constraints.releases, *constraints.requires, *constraints.claims)
    return [(claim.kind, claim.key) for claim in named]


def _counter_keys(append: Append) -> Sequence[Key]:
    return [(count.kind, count.key) for count in append.constraints.counts]


def _answered(command_hash: bytes, response: bytes, position: int, version: int) -> Answered:
    return Answered(command_hash, Appended(position, version, response))


def _request_rows(ledger: Ledger) -> Mapping[Key, Values]:
    return {_key(key): _request_values(answered) for key, answered in ledger.requests.items()}


def _request_values(answered: Answered) -> Values:
    first = answered.appended
    return answered.command_hash, first.response, first.position, first.version


def _claim_rows(ledger: Ledger) -> Mapping[Key, Values]:
    return {(claim.kind, claim.key): (stream,) for claim, stream in ledger.holdings.claims.items()}


def _counter_rows(ledger: Ledger) -> Mapping[Key, Values]:
    return {counter: (value,) for counter, value in ledger.holdings.counters.items()}
