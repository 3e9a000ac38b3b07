"""What a gateway agent asks: a cell's table, its events, and a digest to compare with."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from services.common.errors import WrongState
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import RecordedEvent
from services.common.forwarding_digest import digest, line
from services.common.history.history import History
from services.common.rpc.audit import read_range
from services.endpoint.application.past import PAST
from services.endpoint.projections import CellTable, cell_table, tails
from services.endpoint.wire.forwarding import is_removed
from sidegate.api.events.v1 import endpoint_events_pb2 as events_pb
from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A cell's table at a position of the log."""

    log_id: str
    table: CellTable

    def entries(self) -> Iterable[forwarding_pb.ForwardingEntry]:
        return map(_entry, self.table.events)


@dataclass(frozen=True, slots=True)
class Digest:
    digest: bytes
    entries: int


class Feed:
    """On a store that was opened with the projection TABLE; `history` is that of its log."""

    def __init__(self, store: SqlStore, history: History) -> None:
        self._store, self._history = store, history

    async def snapshot(self, cell: str) -> Snapshot:
        head = await self._store.head()
        return Snapshot(head.log_id, await self._store.query(lambda connection: cell_table(connection, cell)))

    def events(self, cell: str, after: int, through: int) -> AsyncIterator[RecordedEvent]:
        """The cell's events above `after`, up to `through` (0: to the end of the log as it is now)."""
        return read_range(self._store, after, through, partition=cell)

    async def digest(self, cell: str, position: int, gateway: str = "") -> Digest:
        """The digest of the table at a position: of the present one if the cell has had no event since.

        With a gateway, its source addresses count too: a lease is news that no other version tells.
        """
        last, last_of_cell = await self._store.query(lambda connection: tails(connection, cell))
        if position > last:
            text = f"the log is at {last}, not yet at {position}"
            raise WrongState("POSITION_AHEAD", text, metadata={"position": str(last)})
        if position >= last_of_cell:
            table = await self._store.query(lambda connection: cell_table(connection, cell))
            if position >= table.cell_position:
                # Tables may be large: a thread of its own leaves the event loop to others.
                return await asyncio.to_thread(_digest, map(_entry, table.events), gateway)
        return await asyncio.to_thread(_digest, await self._table_at(cell, position), gateway)

    async def _table_at(self, cell: str, position: int) -> Iterable[forwarding_pb.ForwardingEntry]:
        rows = PAST.table(await self._history.at(position), cell)
        events = await self._history.events([row.place.position for row in rows])
        return [_entry(event.data) for event in events.values()]


def _entry(data: bytes) -> forwarding_pb.ForwardingEntry:
    return events_pb.EndpointEvent.FromString(data).forwarding


def _digest(entries: Iterable[forwarding_pb.ForwardingEntry], gateway: str) -> Digest:
    lines = [line(*_key(entry), _version(entry), _lease(entry, gateway)) for entry in entries if not is_removed(entry)]
    return Digest(digest(lines), len(lines))


def _lease(entry: forwarding_pb.ForwardingEntry, gateway: str) -> str:
    return next((lease.address for lease in entry.endpoint.sources if lease.gateway_id == gateway), "")


def _key(entry: forwarding_pb.ForwardingEntry) -> tuple[str, str]:
    match entry.WhichOneof("entry"):
        case "attachment":
            return "attachment", entry.attachment.vpc_id
        case "service":
            return "service", entry.service.service_id
        case "resolver":
            return "resolver", entry.resolver.vpc_id
        case _:
            return "endpoint", entry.endpoint.endpoint_id


def _version(entry: forwarding_pb.ForwardingEntry) -> int:
    match entry.WhichOneof("entry"):
        case "attachment":
            return entry.attachment.version
        case "service":
            return entry.service.version
        case "resolver":
            return entry.resolver.version
        case _:
            return entry.endpoint.generation
