"""Reading the resource table: one row, a part of a list, or all that match."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from services.common.eventsourcing import resource_lists
from services.common.eventsourcing.resource_table import ResourceRow
from services.common.eventsourcing.selection import ALL, EVERYWHERE, Cursor, Found, Scope, Selection, Window
from services.common.eventsourcing.sql_store import SqlStore
from services.endpoint.projections import endpoint_rows, told

BATCH = 500


class Rows:
    def __init__(self, store: SqlStore) -> None:
        self._store = store

    async def endpoints(self, ids: Collection[str]) -> dict[str, ResourceRow]:
        """Of these endpoints, those that are there in any state but Deleted."""
        return await self._store.query(lambda connection: endpoint_rows(connection, ids))

    async def told(self, cell: str, ids: Collection[str]) -> frozenset[str]:
        """Of these services and VPCs, those that the cell has been told of."""
        return await self._store.query(lambda connection: told(connection, cell, ids))

    async def listed(
        self, kind: str, window: Window, scope: Scope = EVERYWHERE, selection: Selection = ALL
    ) -> Found[ResourceRow]:
        """A part of the list of a kind's rows."""
        return await self._store.query(
            lambda connection: resource_lists.listed(connection, kind, window, scope, selection)
        )

    async def counts(
        self, kind: str, parents: Sequence[str], counterpart: str, states: Sequence[str]
    ) -> Mapping[str, int]:
        """How many rows each parent has that are also this other side's."""
        return await self._store.query(
            lambda connection: resource_lists.counts(connection, kind, parents, counterpart, states)
        )

    async def tags(self, kind: str, project: str, after: tuple[str, str], limit: int) -> Sequence[tuple[str, str]]:
        """Keys and values of a project's tags behind one of them, in order, each once."""
        return await self._store.query(lambda connection: resource_lists.tags(connection, kind, project, after, limit))

    async def batches(
        self, kind: str, *, parent: str | None = None, partition: str | None = None, states: Sequence[str] = ()
    ) -> AsyncIterator[list[ResourceRow]]:
        """All rows that match, some at a time."""
        after: Cursor | None = None
        scope, selection = Scope(parent=parent, partition=partition), Selection(tuple(states))
        while rows := (await self.listed(kind, Window(BATCH, after), scope, selection)).rows:
            yield [row for _, row in rows]
            after = rows[-1][0]
