"""Group commit, and the connections that it is done over."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection

from services.common.eventsourcing.group_commit import MAX_BATCH, MAX_PENDING, GroupCommit
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.sql_writer import SqlWriter
from services.common.eventsourcing.sqlite import Sqlite
from services.common.eventsourcing.store import Append, Appended, Conflict, Unavailable
from sidegate.evidence import verify
from tests.support.stores import an_append, whole_log

PATIENCE = 20


class Notebook:
    """Writes down what is committed; the first batch waits until it is told to go on."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go_on = threading.Event()
        self.idle = asyncio.Event()
        self.committed = 0
        self._loop = asyncio.get_running_loop()

    def commit(self, appends: Sequence[Append]) -> Sequence[Appended | Exception]:
        self.go_on.wait(PATIENCE)
        self.batches.append(len(appends))
        if any(append.stream == "broken" for append in appends):
            raise RuntimeError("this batch cannot be written")
        return [
            Conflict(append.stream, 1) if append.stream == "late" else Appended(number, 1, b"")
            for number, append in enumerate(appends)
        ]

    def tidy(self) -> None:
        self._loop.call_soon_threadsafe(self.idle.set)

    def count(self) -> None:
        self.committed += 1


@pytest.fixture
async def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
async def log(notebook: Notebook) -> AsyncIterator[GroupCommit]:
    with ThreadPoolExecutor(1) as thread:
        group = GroupCommit(thread, notebook.commit, notebook.tidy, notebook.count)
        yield group
        notebook.go_on.set()
        await group.close()


async def started(log: GroupCommit, streams: Sequence[str]) -> list[asyncio.Task[Appended]]:
    tasks = [asyncio.create_task(log.append(an_append(stream))) for stream in streams]
    await asyncio.wait(tasks, timeout=0.05)
    return tasks


async def test_what_gathers_during_a_transaction_is_written_in_the_next(log: GroupCommit, notebook: Notebook) -> None:
    first = await started(log, ["endpoint-1"])
    rest = await started(log, ["endpoint-2"] * (MAX_BATCH + 10))
    notebook.go_on.set()
    await asyncio.gather(*first, *rest)
    assert notebook.batches == [1, MAX_BATCH, 10]
    assert notebook.committed == 3


async def test_each_command_gets_its_own_outcome(log: GroupCommit, notebook: Notebook) -> None:
    notebook.go_on.set()
    appends = [an_append(stream) for stream in ("endpoint-1", "late", "endpoint-2")]
    one, two, three = await asyncio.gather(*map(log.append, appends), return_exceptions=True)
    assert (one, three) == (Appended(0, 1, b""), Appended(2, 1, b""))
    assert isinstance(two, Conflict)


async def test_after_a_batch_that_broke_the_next_is_written(log: GroupCommit, notebook: Notebook) -> None:
    notebook.go_on.set()
    with pytest.raises(RuntimeError):
        await log.append(an_append("broken"))
    assert await log.append(an_append()) == Appended(0, 1, b"")


async def test_more_commands_than_can_wait_are_refused(log: GroupCommit, notebook: Notebook) -> None:
    first = await started(log, ["endpoint-1"])
    waiting = await started(log, ["endpoint-2"] * MAX_PENDING)
    with pytest.raises(Unavailable, match="waiting"):
        await log.append(an_append())
    notebook.go_on.set()
    await asyncio.gather(*first, *waiting)
    assert sum(notebook.batches) == MAX_PENDING + 1


async def test_when_nothing_is_written_the_database_is_tidied(log: GroupCommit, notebook: Notebook) -> None:
    notebook.go_on.set()
    await log.append(an_append())
    await asyncio.wait_for(notebook.idle.wait(), PATIENCE)


def test_tidying_brings_what_was_written_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    writer = SqlWriter(Sqlite(path), [])
    try:
        writer.tidy()
        before = path.stat().st_size
        writer.commit([an_append(events=500)])
        assert path.stat().st_size == before
        writer.tidy()
        assert path.stat().st_size > before
    finally:
        writer.close()


async def test_only_the_writer_checkpoints_and_its_commits_reach_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 2000}

    def settings(connection: Connection) -> dict[str, object]:
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}

    writer = SqlWriter(Sqlite(path), [])
    try:
        assert writer.run(settings) == wanted
    finally:
        writer.close()
    store = await SqlStore.open(path)
    try:
        autocheckpoint = await store.query(lambda c: c.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar())
        assert autocheckpoint == 0
    finally:
        await store.close()


@pytest.mark.parametrize("attempt", range(25))  # SQLite refused one in eight of them
async def test_a_new_log_is_made_once_however_many_open_it(tmp_path: Path, attempt: int) -> None:
    path = tmp_path / f"log-{attempt}.sqlite"
    stores = await asyncio.gather(*[SqlStore.open(path) for _ in range(5)])
    try:
        assert len({(await store.head()).log_id for store in stores}) == 1
        await asyncio.gather(*[store.append(an_append(f"endpoint-{n}")) for n in range(10) for store in stores])
        log = await whole_log(stores[0])
        assert len(log) == 50
        assert verify((await stores[0].head()).log_id, log).ok
    finally:
        await asyncio.gather(*[store.close() for store in stores])
