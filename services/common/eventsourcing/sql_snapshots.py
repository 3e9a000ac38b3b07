"""Snapshots in SQL: functions of a connection, each within the caller's transaction."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, delete, insert, select

from services.common.eventsourcing.snapshots import Kept, Snapshot
from services.common.eventsourcing.sql_schema import events, snapshots
from services.common.eventsourcing.store import RecordedEvent


def nearest(connection: Connection, reducer: int, position: int) -> Snapshot | None:
    columns = snapshots.c
    wanted = select(snapshots).where(columns.reducer == reducer, columns.position <= position)
    found = connection.execute(wanted.order_by(columns.position.desc()).limit(1)).first()
    return None if found is None else Snapshot(found.position, found.reducer, bytes(found.hash), bytes(found.data))


def kept(connection: Connection) -> Sequence[Kept]:
    found = connection.execute(select(snapshots.c.position, snapshots.c.reducer).order_by(snapshots.c.position))
    return [Kept(row.position, row.reducer) for row in found]


def save(connection: Connection, snapshot: Snapshot) -> None:
    drop(connection, [snapshot.position])
    columns = {"position": snapshot.position, "reducer": snapshot.reducer, "hash": snapshot.hash, "data": snapshot.data}
    connection.execute(insert(snapshots).values(columns))


def drop(connection: Connection, positions: Collection[int]) -> None:
    connection.execute(delete(snapshots).where(snapshots.c.position.in_(positions)))


def events_at(connection: Connection, positions: Collection[int]) -> Sequence[RecordedEvent]:
    wanted = select(events).where(events.c.position.in_(positions)).order_by(events.c.position)
    return [RecordedEvent(*row) for row in connection.execute(wanted)]
