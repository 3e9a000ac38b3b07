"""The read table takes many events in at once, and is the same as after one by one."""

import random
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from services.common.eventsourcing.resource_table import RESOURCES, ResourceTable
from services.common.eventsourcing.sql_store import SqlStore
from tests.integration.test_history import folded, live_a_while, rows_of
from tests.support.stores import LOGS, whole_log


def rows(connection: Connection) -> dict[tuple[str, str], tuple[int, int, str]]:
    found = connection.execute(select(RESOURCES))
    return {(row.kind, row.id): (row.created_position, row.position, row.project) for row in found}


@pytest.mark.parametrize("database", LOGS)
async def test_the_rows_of_many_events_at_once_are_those_of_one_after_another(database: str, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    table = ResourceTable(lambda event: next(iter(rows_of(event)), None))
    with LOGS[database](tmp_path) as where:
        store = await SqlStore.open(where, projections=[table])
        try:
            await live_a_while(store, chance, 200, most=1)
            live, events = await store.query(rows), await whole_log(store)
            assert live == {key: (at.created, at.position, at.project) for key, at in folded(events, 200).items()}
            await store.rebuild()
            assert await store.query(rows) == live

            def in_pieces(connection: Connection) -> None:
                connection.execute(RESOURCES.delete())
                cuts = sorted(chance.sample(range(1, 200), 5))
                for start, end in zip([0, *cuts], [*cuts, 200], strict=True):
                    table.apply_all(connection, events[start:end])

            await store._log.run(lambda: store._writer.run(in_pieces))
            assert await store.query(rows) == live
        finally:
            await store.close()
