"""The SQL store when its database is foreign, altered, locked, full or read-only."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from services.common.eventsourcing.sql_schema import SCHEMA_VERSION
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.sqlite import Sqlite
from services.common.eventsourcing.store import (
    AnyVersion,
    Append,
    Appended,
    Claim,
    Constraints,
    Count,
    NewEvent,
    RecordedEvent,
    Unavailable,
    WrongSchema,
)
from sidegate.evidence import verify
from tests.support.disk import files_limited_to
from tests.support.stores import AT, Tally, a_request, an_append, attempts_to_lock, whole_log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqlStore]:
    opened = await SqlStore.open(path, projections=[Tally(poison="poison")])
    try:
        yield opened
    finally:
        await opened.close()


def execute(path: Path, *statements: str) -> None:
    """As somebody does who has the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


async def is_sound(store: SqlStore) -> bool:
    head, log = await store.head(), await whole_log(store)
    tally = await store.query(Tally().read)
    return verify(head.log_id, log).ok and len(log) == head.position == sum(tally.values())


@pytest.mark.parametrize("change", ["UPDATE events SET data = x'00'", "DELETE FROM events"])
async def test_the_database_refuses_to_change_or_delete_events(store: SqlStore, path: Path, change: str) -> None:
    await store.append(an_append(events=3))
    with pytest.raises(sqlite3.IntegrityError, match="events are only ever added"):
        execute(path, change)
    assert await is_sound(store)


@pytest.mark.parametrize("column", RecordedEvent._fields)
async def test_an_alteration_of_any_column_is_found_and_its_position_named(path: Path, column: str) -> None:
    store = await SqlStore.open(path)
    for number in range(9):
        await store.append(an_append(f"endpoint-{number % 2}", partition=f"cell-{number % 3}", at=AT + number))
    head = await store.head()
    await store.close()
    other = {int: f"{column} + 100", str: f"{column} || 'x'", bytes: f"cast(substr({column}, 2) || 'x' AS BLOB)"}
    value = other[RecordedEvent.__annotations__[column]]
    update = f"UPDATE events SET {column} = {value} WHERE position = 5"  # noqa: S608 - names of our own columns
    execute(path, "DROP TRIGGER events_refuse_update", update)
    altered = await SqlStore.open(path)
    verdict = verify(head.log_id, await whole_log(altered))
    await altered.close()
    assert verdict.fault is not None
    assert verdict.fault.position == 5


async def test_a_log_that_lost_its_end_does_not_reach_the_head_that_was_kept(path: Path) -> None:
    store = await SqlStore.open(path)
    await store.append(an_append(events=9))
    kept = await store.head()
    await store.close()
    execute(path, "DROP TRIGGER events_refuse_delete", "DELETE FROM events WHERE position > 6")
    shorter = await SqlStore.open(path)
    verdict = verify(kept.log_id, await whole_log(shorter))
    await shorter.close()
    assert verdict.ok
    assert verdict.head.position == 6 < kept.position


async def test_a_log_of_a_newer_schema_version_is_not_opened(path: Path) -> None:
    await (await SqlStore.open(path)).close()
    execute(path, "UPDATE log_info SET schema_version = 99")
    with pytest.raises(WrongSchema) as refusal:
        await SqlStore.open(path)
    for part in (str(path), "99", f"up to {SCHEMA_VERSION}", "newer Sidegate"):
        assert part in str(refusal.value)
    execute(path, f"UPDATE log_info SET schema_version = {SCHEMA_VERSION}")  # noqa: S608 - a number of ours
    await (await SqlStore.open(path)).close()


async def test_a_database_of_something_else_is_left_alone(path: Path) -> None:
    execute(path, "CREATE TABLE recipes (name TEXT)")
    with pytest.raises(WrongSchema, match=str(path)):
        await SqlStore.open(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


async def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_text("not a database " * 100)
    with pytest.raises(WrongSchema, match=str(path)):
        await SqlStore.open(path)
    assert path.read_text().startswith("not a database")


async def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nowhere"):
        await SqlStore.open(tmp_path / "nowhere" / "log.sqlite")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "oracle://host/log"])
async def test_what_cannot_be_a_log_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no log"):
        await SqlStore.open(url)


async def test_a_log_is_opened_by_url_too(path: Path) -> None:
    store = await SqlStore.open(path, synchronous="NORMAL")
    await store.append(an_append())
    await store.close()
    by_url = await SqlStore.open(f"sqlite:///{path}")
    assert (await by_url.head()).position == 1
    await by_url.close()


async def test_closing_leaves_one_whole_file(store: SqlStore, path: Path) -> None:
    await store.append(an_append(events=5))
    await store.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_commands_while_another_holds_the_lock_wait_for_it_together_and_fail(
    store: SqlStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.append(an_append())
    attempts = attempts_to_lock(Sqlite, monkeypatch)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        found = await asyncio.gather(*[store.append(an_append()) for _ in range(10)], return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in found)
        assert len(attempts) <= 2, "who came first, and all who came meanwhile"
        assert (await store.head()).position == 1
        other.execute("ROLLBACK")
    assert await store.append(an_append()) == Appended(2, 2, b"")


async def test_a_full_disk_refuses_and_leaves_nothing_half_done(store: SqlStore, path: Path) -> None:
    await store.append(an_append())
    claimed = Constraints(claims=(Claim("address", "a"),), counts=(Count("endpoints", "shop", 1),))
    large = [NewEvent("endpoint.changed", bytes(100_000))] * 3
    append = Append("endpoint-1", AnyVersion(), large, AT, constraints=claimed, request=a_request())
    wal = path.with_name(path.name + "-wal")
    with files_limited_to(wal.stat().st_size + 50_000):
        found = await asyncio.gather(*[store.append(append) for _ in range(3)], return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in found)
    assert str(path) in str(found[0])
    assert (await store.head()).position == 1
    assert await store.holders("address", "") == {}
    assert await store.count("endpoints", "shop") == 0
    assert await is_sound(store)
    assert await store.append(append) == Appended(4, 4, b"created")
    assert await is_sound(store)


async def test_on_a_full_disk_what_fits_is_still_taken(store: SqlStore, path: Path) -> None:
    await store.append(an_append())
    large = Append("endpoint-1", AnyVersion(), [NewEvent("endpoint.changed", bytes(200_000))], AT)
    wal = path.with_name(path.name + "-wal")
    with files_limited_to(wal.stat().st_size + 100_000):
        first, second, third = await asyncio.gather(
            *map(store.append, [an_append(), large, an_append()]), return_exceptions=True
        )
    assert isinstance(first, Appended)
    assert isinstance(second, Unavailable)
    assert isinstance(third, Appended)
    assert await is_sound(store)


async def test_an_append_that_the_database_refuses_takes_no_other_with_it(store: SqlStore) -> None:
    streams = [f"endpoint-{number}" for number in range(40)]
    streams[17] = "poison"
    found = await asyncio.gather(*[store.append(an_append(stream)) for stream in streams], return_exceptions=True)
    assert isinstance(found.pop(17), ValueError)
    assert [outcome.position for outcome in found if isinstance(outcome, Appended)] == list(range(1, 40))
    assert await is_sound(store)


async def test_a_command_whose_deadline_passes_while_it_waits_is_not_begun(store: SqlStore, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = asyncio.create_task(store.append(an_append("endpoint-1")))
        await asyncio.wait([begun], timeout=0.05)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(store.append(an_append("endpoint-2")), timeout=0.05)
        other.execute("ROLLBACK")
    assert (await begun).position == 1
    assert (await store.append(an_append("endpoint-3"))).position == 2


async def test_readers_cannot_write(store: SqlStore) -> None:
    await store.append(an_append())
    with pytest.raises(Unavailable, match="readonly"):
        await store.query(lambda connection: connection.exec_driver_sql("DELETE FROM checkpoints"))
    assert await is_sound(store)
