"""The tables of a log, the same in every database."""

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    ScalarSelect,
    String,
    Table,
    Text,
    UniqueConstraint,
    case,
    func,
    select,
    text,
)

SCHEMA_VERSION = 3
"""Of the tables here: the revision of the last step in migrations/versions."""

# SQLite makes a key of exactly this type the table's own order, and its strict tables know no BIGINT.
Number = BigInteger().with_variant(Integer(), "sqlite")

# Compared as bytes: what follows a prefix is then one range, and no library of a system's decides on an index's order.
Name = Text().with_variant(Text(collation="C"), "postgresql")

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=False),
    Column("stream", Name, nullable=False),
    Column("version", Number, nullable=False),
    Column("event_id", LargeBinary(16), nullable=False),
    Column("type", Name, nullable=False),
    Column("schema_version", Number, nullable=False),
    Column("recorded_at", Number, nullable=False),
    Column("partition", Name, nullable=False),
    Column("prev", Number, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("meta", LargeBinary, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    UniqueConstraint("stream", "version"),
    Index("events_by_partition", "partition", "position"),
    sqlite_strict=True,
)
"""The log: only ever added to. Its columns are RecordedEvent's, in the same order."""

requests = Table(
    "requests",
    metadata,
    Column("account", Name, primary_key=True),
    Column("project", Name, primary_key=True),
    Column("method", Name, primary_key=True),
    Column("request_id", Name, primary_key=True),
    Column("command_hash", LargeBinary(32), nullable=False),
    Column("response", LargeBinary, nullable=False),
    Column("position", Number, nullable=False),
    Column("version", Number, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

claims = Table(
    "claims",
    metadata,
    Column("kind", Name, primary_key=True),
    Column("key", Name, primary_key=True),
    Column("stream", Name, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

counters = Table(
    "counters",
    metadata,
    Column("kind", Name, primary_key=True),
    Column("key", Name, primary_key=True),
    Column("value", Number, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""Only those that are not zero."""

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("name", Name, primary_key=True),
    Column("position", Number, nullable=False),
    Column("version", Number, nullable=False),
    sqlite_strict=True,
)
"""How far subscribers of ours have come, and projections; `version` is that of a projection's tables."""

snapshots = Table(
    "snapshots",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=False),
    Column("reducer", Number, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("data", LargeBinary, nullable=False),
    sqlite_strict=True,
)
"""What the log came to at some of its positions: all of it can be made again from `events`."""

log_info = Table(
    "log_info",
    metadata,
    Column("log_id", Name, primary_key=True),
    Column("epoch", Number, nullable=False),
    Column("schema_version", Number, nullable=False),
    Column("created_at", Number, nullable=False),
    Column("program", Name, nullable=False, server_default=text("''")),
    sqlite_strict=True,
)
"""One row: which log this is. `created_at` is in nanoseconds since the epoch, `program` empty where nobody said."""

alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's, as it makes it itself."""

LAST_POSITION = select(func.coalesce(func.max(events.c.position), 0))


def last_of_partition(partition: ColumnElement[str] | str) -> ScalarSelect[int]:
    """The position of a partition's last event, NULL if it has none.

    Asked in the order of the one index that knows: for a maximum, PostgreSQL may go back through the log until it meets
    an event of the partition, and for a new one that is all of it.
    """
    found = case((events.c.partition == partition, events.c.position))
    nearest = select(found).where(events.c.partition <= partition)
    return nearest.order_by(events.c.partition.desc(), events.c.position.desc()).limit(1).scalar_subquery()


def tail(connection: Connection) -> int:
    """The log's last position as this transaction sees it; 0 if there is none."""
    return int(connection.execute(LAST_POSITION).scalar_one())
