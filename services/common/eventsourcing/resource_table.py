"""The read table of a service: every live resource as its last event left it, found by who owns it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Dialect, Index, LargeBinary, MetaData, Table, insert, text

from services.common.eventsourcing.driver_statement import DriverStatement
from services.common.eventsourcing.sql_schema import Name, Number
from services.common.eventsourcing.store import RecordedEvent

METADATA = MetaData()
RESOURCES = Table(
    "resources",
    METADATA,
    Column("kind", Name, primary_key=True),
    Column("id", Name, primary_key=True),
    Column("project", Name, nullable=False),
    Column("parent", Name, nullable=False),
    Column("counterpart", Name, nullable=False),
    Column("partition", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("full_name", Name, nullable=False),
    Column("type", Name, nullable=False),
    Column("vpc", Name, nullable=False),
    Column("number", Number, nullable=False),
    Column("state", Name, nullable=False),
    Column("updated", Number, nullable=False),
    Column("counterpart_updated", Number, nullable=False),
    Column("created_position", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
    # Lists are found in an index whole, filters and all, and then their rows: of many, most are never read.
    Index(
        "resources_by_project",
        *("kind", "project", "created_position", "state", "vpc", "type", "number", "name", "full_name", "id"),
    ),
    Index("resources_by_project_updated", "kind", "project", "updated", "created_position"),
    Index("resources_by_parent", "kind", "parent", "created_position", "counterpart", "state", "number", "id"),
    Index("resources_by_parent_updated", "kind", "parent", "counterpart_updated", "created_position"),
    Index("resources_by_counterpart", "kind", "counterpart", "created_position"),
    Index("resources_by_partition", "partition", "kind", "created_position"),
    Index("resources_by_state", "kind", "state", "created_position"),
)
TAGS = Table(
    "resource_tags",
    METADATA,
    Column("kind", Name, primary_key=True),
    Column("id", Name, primary_key=True),
    Column("key", Name, primary_key=True),
    Column("project", Name, nullable=False),
    Column("value", Name, nullable=False),
    Index("resource_tags_by_value", "kind", "project", "key", "value", "id"),
)
KEPT = (
    *("kind", "id", "project", "parent", "counterpart", "partition", "name", "full_name", "type", "vpc", "number"),
    *("state", "updated", "counterpart_updated", "data"),
)
"""What the table has of a row under the same name."""

_kept = attrgetter(*KEPT)

_NAMES, _VALUES = ", ".join(KEPT), ", ".join(f":{name}" for name in KEPT)
_REPLACED = ", ".join(f"{name} = excluded.{name}" for name in KEPT[2:])
UPSERT = text(
    f"INSERT INTO resources ({_NAMES}, created_position, position) VALUES ({_VALUES}, :created, :at)"  # noqa: S608 # our names
    f" ON CONFLICT (kind, id) DO UPDATE SET {_REPLACED}, position = excluded.position"
)
DELETE = text("DELETE FROM resources WHERE kind = :kind AND id = :id")
UNTAG = text("DELETE FROM resource_tags WHERE kind = :kind AND id = :id")


class ResourceRow(NamedTuple):
    """A resource after an event. `counterpart` is the project on its other side; `data` the stored event's bytes.

    `updated` is when it last changed as its owner sees it, `counterpart_updated` as the other side does: nanoseconds
    since the epoch, 0 where nobody is shown. `tags` is None for kinds that have none. A row that is not `live` leaves
    the table: what is gone is found in the log only. A tuple, since a replay makes one of every event there is.
    """

    kind: str
    id: str
    project: str
    data: bytes
    parent: str = ""
    counterpart: str = ""
    partition: str = ""
    name: str = ""
    state: str = ""
    live: bool = True
    full_name: str = ""
    type: str = ""
    vpc: str = ""
    number: int = 0
    updated: int = 0
    counterpart_updated: int = 0
    tags: tuple[tuple[str, str], ...] | None = None


RowOf = Callable[[RecordedEvent], ResourceRow | None]
VERSION = 2


def last_of_streams(events: Iterable[RecordedEvent]) -> Iterator[tuple[RecordedEvent, int]]:
    """The last event of each stream, with the position of the first one there."""
    first: dict[str, int] = {}
    last: dict[str, RecordedEvent] = {}
    for event in events:
        stream = event.stream
        if stream not in last:
            first[stream] = event.position
        last[stream] = event
    return ((event, first[stream]) for stream, event in last.items())


class ResourceTable:
    """A projection: written in the append's transaction, so a list shows what was just written.

    `also` gives another row that events leave beside their own. A service whose rows have become others says so by a
    `version` of its own. With `row_per_stream` all events of a stream are about one row, which does not come back once
    it is gone: of many only the last is looked at.
    """

    name = "resources"
    metadata = METADATA

    def __init__(
        self, row_of: RowOf, *, row_per_stream: bool = False, also: RowOf | None = None, version: int = VERSION
    ) -> None:
        self._row_of, self._row_per_stream, self._also = row_of, row_per_stream, also
        self.version = version

    def apply(self, connection: Connection, event: RecordedEvent) -> None:
        self.apply_all(connection, [event])

    def apply_all(self, connection: Connection, events: Sequence[RecordedEvent]) -> None:
        """Of a resource that many of the events are about only the last one is written."""
        left, statements = self._left_by(events), _statements(connection.dialect)
        if gone := [key for key, outcome in left.items() if outcome.gone]:
            statements.delete.execute_many(connection, gone)
            statements.untag.execute_many(connection, gone)
        if kept := [outcome for outcome in left.values() if outcome.row is not None]:
            statements.upsert.execute_many(connection, [outcome.columns for outcome in kept])
            _tag(connection, statements, [outcome.row for outcome in kept if outcome.row is not None])

    def _left_by(self, events: Iterable[RecordedEvent]) -> dict[tuple[str, str], "_Outcome"]:
        left: dict[tuple[str, str], _Outcome] = {}
        each = last_of_streams(events) if self._row_per_stream else ((event, event.position) for event in events)
        for event, first, row in self._rows(each):
            key = (row.kind, row.id)
            before = left.get(key)
            if not row.live:
                left[key] = _Outcome(None, 0, event.position, gone=True)
            elif before is None or before.row is None:
                left[key] = _Outcome(row, first, event.position, gone=before is not None)
            else:
                left[key] = _Outcome(row, before.created, event.position, before.gone)
        return left

    def _rows(self, events: Iterable[tuple[RecordedEvent, int]]) -> Iterator[tuple[RecordedEvent, int, ResourceRow]]:
        for event, first in events:
            if (row := self._row_of(event)) is not None:
                yield event, first, row
            if self._also is not None and (row := self._also(event)) is not None:
                yield event, first, row


class _Outcome(NamedTuple):
    """What some events leave of a resource; `gone`: what was there before them is not, whatever came after."""

    row: ResourceRow | None
    created: int
    position: int
    gone: bool

    @property
    def columns(self) -> tuple[Any, ...]:
        """In the order of UPSERT's names."""
        return (*_kept(self.row), self.created, self.position)


class _Statements(NamedTuple):
    delete: DriverStatement
    untag: DriverStatement
    upsert: DriverStatement
    tag: DriverStatement


@lru_cache
def _statements(dialect: Dialect) -> _Statements:
    return _Statements(*(DriverStatement(each, dialect) for each in (DELETE, UNTAG, UPSERT, insert(TAGS))))


def _tag(connection: Connection, statements: _Statements, rows: Iterable[ResourceRow]) -> None:
    tagged = [row for row in rows if row.tags is not None]
    statements.untag.execute_many(connection, [(row.kind, row.id) for row in tagged])
    tags = [(row.kind, row.id, key, row.project, value) for row in tagged for key, value in row.tags or ()]
    statements.tag.execute_many(connection, tags)
