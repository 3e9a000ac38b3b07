"""Projections: tables made from events in the transaction that appends them, so that a read after a write sees it."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from sqlalchemy import Connection, MetaData, and_, delete, insert, select

from services.common.eventsourcing.sql_queries import LogQueries
from services.common.eventsourcing.sql_schema import checkpoints
from services.common.eventsourcing.sql_schema import metadata as log_metadata
from services.common.eventsourcing.store import RecordedEvent, WrongSchema

PAGE = 10_000
"""Events that a projection is given at a time when it is made anew."""


class Projection(Protocol):
    """Tables that are a function of the log.

    The tables of `metadata` belong to this projection alone. A higher or lower `version` than the tables were made
    with has them dropped and made anew from position 1; a program that still runs with the other one appends no more.
    `apply` is given every event once, in the log's order, and may write to its own tables only; if it raises, the
    append is refused.
    """

    name: str
    version: int
    metadata: MetaData

    def apply(self, connection: Connection, event: RecordedEvent) -> None: ...


@runtime_checkable
class BulkProjection(Projection, Protocol):
    """A projection that takes many events in at once, and is the same then as after one by one."""

    def apply_all(self, connection: Connection, events: Sequence[RecordedEvent]) -> None: ...


class Projector:
    """Keeps projections where the log is. Everything here happens within a transaction of the log's writer."""

    def __init__(self, projections: Sequence[Projection], queries: LogQueries) -> None:
        _require_disjoint(projections)
        self._projections = projections
        self._queries = queries

    def open(self, connection: Connection) -> None:
        """Makes what is new or of another version, and brings the rest up to the end of the log."""
        for projection in self._projections:
            query = select(checkpoints.c.version).where(checkpoints.c.name == _checkpoint(projection))
            if connection.execute(query).scalar() != projection.version:
                self._reset(connection, projection)
            self._catch_up(connection, projection)

    def rebuild(self, connection: Connection) -> None:
        """Makes all tables anew from the first event on."""
        for projection in self._projections:
            self._reset(connection, projection)
            self._catch_up(connection, projection)

    def advance(self, connection: Connection, events: Sequence[RecordedEvent], *, next_: bool) -> None:
        """Applies events that were just inserted; unless they are the `next_` ones, also what others have written."""
        for projection in self._projections:
            if next_:
                _apply(connection, projection, events)
            else:
                self._catch_up(connection, projection)

    def _catch_up(self, connection: Connection, projection: Projection) -> None:
        position = self._queries.checkpoint(connection, _checkpoint(projection))
        while events := self._queries.read(connection, position, PAGE):
            position = _apply(connection, projection, events)

    def _reset(self, connection: Connection, projection: Projection) -> None:
        projection.metadata.drop_all(connection)
        projection.metadata.create_all(connection)
        name = _checkpoint(projection)
        connection.execute(delete(checkpoints).where(checkpoints.c.name == name))
        connection.execute(insert(checkpoints).values(name=name, version=projection.version, position=0))


def _apply(connection: Connection, projection: Projection, events: Sequence[RecordedEvent]) -> int:
    if isinstance(projection, BulkProjection):
        projection.apply_all(connection, events)
    else:
        for event in events:
            projection.apply(connection, event)
    position = events[-1].position
    ours = and_(checkpoints.c.name == _checkpoint(projection), checkpoints.c.version == projection.version)
    if connection.execute(checkpoints.update().where(ours).values(position=position)).rowcount != 1:
        raise WrongSchema(
            f"a Sidegate of another version has made {projection.name} anew: this one may not write to it"
        )
    return position


def _checkpoint(projection: Projection) -> str:
    return f"projection/{projection.name}"


def _require_disjoint(projections: Sequence[Projection]) -> None:
    taken = set(log_metadata.tables)
    for projection in projections:
        if twice := taken.intersection(projection.metadata.tables):
            raise ValueError(f"projection {projection.name} has a table that is another's: {', '.join(sorted(twice))}")
        taken.update(projection.metadata.tables)
    if len({projection.name for projection in projections}) < len(projections):
        raise ValueError("two projections have the same name")
