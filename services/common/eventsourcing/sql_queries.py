"""What can be asked of a log in SQL: functions of a connection, each within the caller's transaction."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Dialect, Integer, bindparam, literal, select, tuple_

from services.common.eventsourcing.driver_statement import DriverStatement
from services.common.eventsourcing.holdings import Holdings
from services.common.eventsourcing.ledger import EMPTY, Answered, Tail
from services.common.eventsourcing.sql_schema import Number, checkpoints, claims, counters, events, log_info, requests
from services.common.eventsourcing.store import Appended, Claim, Head, RecordedEvent, RequestKey

LAST_KEY = "\U0010ffff"
"""Sorts behind everything that may follow a prefix: no character is above it."""

MAX_POSITION = 2**63 - 1
TAIL = select(events.c.position, events.c.hash, events.c.recorded_at).order_by(events.c.position.desc()).limit(1)
LOAD = (
    select(events)
    .where(events.c.stream == bindparam("stream_"), events.c.version > bindparam("after"))
    .order_by(events.c.version)
)
READ = select(events).where(events.c.position > bindparam("after")).order_by(events.c.position)
READ_PARTITION = READ.where(events.c.partition == bindparam("partition_"))

# PostgreSQL, told that it is one partition, may think of going through the whole log; SQLite would read a range of two
# columns from the beginning of the first.
PLACE = tuple_(events.c.partition, events.c.position)
READ_PARTITION_RANGE = (
    select(events)
    .where(tuple_(bindparam("partition_"), bindparam("after", type_=Number)) < PLACE)
    .where(tuple_(bindparam("partition_"), literal(MAX_POSITION)) >= PLACE)
    .order_by(events.c.partition, events.c.position)
)


class LogQueries:
    def __init__(self, dialect: Dialect) -> None:
        limit = bindparam("limit", type_=Integer)
        self._tail = DriverStatement(TAIL, dialect)
        self._load = DriverStatement(LOAD, dialect)
        self._read = DriverStatement(READ.limit(limit), dialect)
        by_range = dialect.name == "postgresql"
        of_partition = READ_PARTITION_RANGE if by_range else READ_PARTITION
        self._read_partition = DriverStatement(of_partition.limit(limit), dialect)

    def tail(self, connection: Connection) -> Tail:
        rows = self._tail.rows(connection)
        return Tail(*rows[0]) if rows else EMPTY

    def load(self, connection: Connection, stream: str, after: int) -> Sequence[RecordedEvent]:
        return list(map(RecordedEvent._make, self._load.rows(connection, stream_=stream, after=after)))

    def read(
        self, connection: Connection, after: int, limit: int, partition: str | None = None
    ) -> Sequence[RecordedEvent]:
        if partition is None:
            rows = self._read.rows(connection, after=after, limit=limit)
        else:
            rows = self._read_partition.rows(connection, after=after, limit=limit, partition_=partition)
        return list(map(RecordedEvent._make, rows))

    def head(self, connection: Connection) -> Head:
        tail = self.tail(connection)
        info = connection.execute(select(log_info.c.log_id, log_info.c.epoch)).one()
        return Head(info.log_id, info.epoch, tail.position, tail.hash)

    def answered(self, connection: Connection, key: RequestKey) -> Answered | None:
        query = select(requests).where(
            requests.c.account == key.account,
            requests.c.project == key.project,
            requests.c.method == key.method,
            requests.c.request_id == key.request_id,
        )
        row = connection.execute(query).one_or_none()
        return None if row is None else Answered(row.command_hash, Appended(row.position, row.version, row.response))

    def holders(self, connection: Connection, kind: str, prefix: str) -> Mapping[str, str]:
        query = select(claims.c.key, claims.c.stream).where(
            claims.c.kind == kind, claims.c.key >= prefix, claims.c.key <= prefix + LAST_KEY
        )
        return {row.key: row.stream for row in connection.execute(query)}

    def count(self, connection: Connection, kind: str, key: str) -> int:
        query = select(counters.c.value).where(counters.c.kind == kind, counters.c.key == key)
        return connection.execute(query).scalar() or 0

    def holdings(self, connection: Connection) -> Holdings:
        return Holdings(
            {Claim(row.kind, row.key): row.stream for row in connection.execute(select(claims))},
            {(row.kind, row.key): row.value for row in connection.execute(select(counters))},
        )

    def checkpoint(self, connection: Connection, name: str) -> int:
        query = select(checkpoints.c.position).where(checkpoints.c.name == name)
        return connection.execute(query).scalar() or 0
