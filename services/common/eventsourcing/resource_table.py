"""The read table of a service: every live resource as its last event left it, found by who owns it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Index, LargeBinary, MetaData, Table, func, select, text
from sqlalchemy.engine import Row

from services.common.eventsourcing.limits import can_be_kept
from services.common.eventsourcing.selection import ALL, Selection
from services.common.eventsourcing.sql_schema import Name
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
    Column("state", Name, nullable=False),
    Column("created_position", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index("resources_by_project", "kind", "project", "created_position"),
    Index("resources_by_parent", "kind", "parent", "created_position"),
    Index("resources_by_counterpart", "kind", "counterpart", "created_position"),
    Index("resources_by_partition", "partition", "kind", "created_position"),
    Index("resources_by_state", "kind", "state", "created_position"),
)
UPSERT = text(
    "INSERT INTO resources (kind, id, project, parent, counterpart, partition, name, state,"
    " created_position, position, data)"
    " VALUES (:kind, :id, :project, :parent, :counterpart, :partition, :name, :state, :created, :position, :data)"
    " ON CONFLICT (kind, id) DO UPDATE SET project = excluded.project, parent = excluded.parent,"
    " counterpart = excluded.counterpart, partition = excluded.partition, name = excluded.name,"
    " state = excluded.state, position = excluded.position, data = excluded.data"
)
DELETE = text("DELETE FROM resources WHERE kind = :kind AND id = :id")


class ResourceRow(NamedTuple):
    """A resource after an event. `counterpart` is the project on its other side; `data` the stored event's bytes.

    A row that is not `live` leaves the table: what is gone is found in the log only. A tuple, since a replay makes one
    of every event there is.
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

    With `row_per_stream` all events of a stream are about one row, which does not come back once it is gone: of many
    only the last is looked at.
    """

    name = "resources"
    version = 1
    metadata = METADATA

    def __init__(self, row_of: Callable[[RecordedEvent], ResourceRow | None], *, row_per_stream: bool = False) -> None:
        self._row_of, self._row_per_stream = row_of, row_per_stream

    def apply(self, connection: Connection, event: RecordedEvent) -> None:
        self.apply_all(connection, [event])

    def apply_all(self, connection: Connection, events: Sequence[RecordedEvent]) -> None:
        """Of a resource that many of the events are about only the last one is written."""
        left = self._left_by(events)
        if gone := [{"kind": kind, "id": id_} for (kind, id_), outcome in left.items() if outcome.gone]:
            connection.execute(DELETE, gone)
        if rows := [outcome.columns for outcome in left.values() if outcome.row is not None]:
            connection.execute(UPSERT, rows)

    def _left_by(self, events: Iterable[RecordedEvent]) -> dict[tuple[str, str], "_Outcome"]:
        left: dict[tuple[str, str], _Outcome] = {}
        each = last_of_streams(events) if self._row_per_stream else ((event, event.position) for event in events)
        for event, first in each:
            row = self._row_of(event)
            if row is None:
                continue
            key = (row.kind, row.id)
            before = left.get(key)
            if not row.live:
                left[key] = _Outcome(None, 0, event.position, gone=True)
            elif before is None or before.row is None:
                left[key] = _Outcome(row, first, event.position, gone=before is not None)
            else:
                left[key] = _Outcome(row, before.created, event.position, before.gone)
        return left


class _Outcome(NamedTuple):
    """What some events leave of a resource; `gone`: what was there before them is not, whatever came after."""

    row: ResourceRow | None
    created: int
    position: int
    gone: bool

    @property
    def columns(self) -> Mapping[str, Any]:
        columns = {} if self.row is None else _columns(self.row)
        return {**columns, "created": self.created, "position": self.position}


def _columns(row: ResourceRow) -> Mapping[str, Any]:
    names = ("kind", "id", "project", "parent", "counterpart", "partition", "name", "state", "data")
    return {name: getattr(row, name) for name in names}


def _row(found: Row[Any]) -> ResourceRow:
    return ResourceRow(
        kind=found.kind,
        id=found.id,
        project=found.project,
        data=bytes(found.data),
        parent=found.parent,
        counterpart=found.counterpart,
        partition=found.partition,
        name=found.name,
        state=found.state,
    )


def get(connection: Connection, kind: str, id_: str) -> ResourceRow | None:
    """One resource, None if it is not there (any more)."""
    if not can_be_kept(id_):
        return None
    wanted = select(RESOURCES).where(RESOURCES.c.kind == kind, RESOURCES.c.id == id_)
    found = connection.execute(wanted).first()
    return None if found is None else _row(found)


def page(
    connection: Connection,
    kind: str,
    *,
    project: str | None = None,
    parent: str | None = None,
    counterpart: str | None = None,
    partition: str | None = None,
    selection: Selection = ALL,
    after: int = 0,
    limit: int,
) -> list[tuple[int, ResourceRow]]:
    """Up to `limit` resources in order of creation, each with the position of its creation.

    They are created above position `after`; below it where the newest come first, and 0 is no bound then.
    """
    created = RESOURCES.c.created_position
    query = select(RESOURCES).where(RESOURCES.c.kind == kind)
    if not selection.newest_first:
        query = query.where(created > after)
    elif after:
        query = query.where(created < after)
    wanted = {"project": project, "parent": parent, "counterpart": counterpart, "partition": partition}
    for column, value in wanted.items():
        if value is not None:
            query = query.where(RESOURCES.c[column] == value)
    if selection.states:
        query = query.where(RESOURCES.c.state.in_(selection.states))
    if selection.name_contains:
        part = selection.name_contains.lower()
        query = query.where(func.lower(RESOURCES.c.name).contains(part, autoescape=True))
    query = query.order_by(created.desc() if selection.newest_first else created).limit(limit)
    return [(found.created_position, _row(found)) for found in connection.execute(query)]
