"""Reading the resource table: one row, a page, or all that match."""

from collections.abc import AsyncIterator, Collection, Sequence

from services.common.eventsourcing import resource_table
from services.common.eventsourcing.resource_table import ResourceRow
from services.common.eventsourcing.selection import ALL, Selection
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

    async def page(
        self,
        kind: str,
        *,
        limit: int,
        after: int = 0,
        project: str | None = None,
        parent: str | None = None,
        counterpart: str | None = None,
        partition: str | None = None,
        selection: Selection = ALL,
    ) -> list[tuple[int, ResourceRow]]:
        """Up to `limit` rows behind position `after`, in order of creation, each with that position."""
        return await self._store.query(
            lambda connection: resource_table.page(
                connection,
                kind,
                project=project,
                parent=parent,
                counterpart=counterpart,
                partition=partition,
                selection=selection,
                after=after,
                limit=limit,
            )
        )

    async def batches(
        self, kind: str, *, parent: str | None = None, partition: str | None = None, states: Sequence[str] = ()
    ) -> AsyncIterator[list[ResourceRow]]:
        """All rows that match, some at a time."""
        after, selection = 0, Selection(tuple(states))
        while rows := await self.page(
            kind, parent=parent, partition=partition, selection=selection, after=after, limit=BATCH
        ):
            yield [row for _, row in rows]
            after = rows[-1][0]
