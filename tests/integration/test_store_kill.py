"""A process that appends is killed again and again: what it acknowledged stays."""

import asyncio
import os
import random
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import AlreadyClaimed, Append, Appended, Unavailable
from sidegate.evidence import verify
from tests.support import postgres
from tests.support.appender import ACKNOWLEDGED, WRITERS, append_of, meaning, request_of
from tests.support.stores import LOGS, Tally, whole_log

KILLS = {"sqlite": 5, "postgres": 3}
SERVER_KILLS = 5


def run_until_killed(where: str, rng: random.Random) -> dict[int, int]:
    """What a program acknowledged before it was killed, at a moment of its work that nobody chose."""
    hear, say = os.pipe()
    command = [sys.executable, "-m", "tests.support.appender", where, str(rng.getrandbits(32)), str(say)]
    with subprocess.Popen(command, pass_fds=[say]) as appender, os.fdopen(hear, "rb") as acknowledgements:
        os.close(say)
        try:
            heard = acknowledgements.read(ACKNOWLEDGED.size * rng.randrange(1, 400))
        finally:
            appender.kill()
        heard += acknowledgements.read()
    assert heard, "the program ended before it had appended anything"
    whole = len(heard) // ACKNOWLEDGED.size * ACKNOWLEDGED.size
    return dict(ACKNOWLEDGED.iter_unpack(heard[:whole]))


def seeded() -> random.Random:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.mark.parametrize("database", LOGS)
async def test_no_acknowledged_event_is_lost_to_kill_9(database: str, tmp_path: Path) -> None:
    rng = seeded()
    acknowledged: dict[int, int] = {}
    with LOGS[database](tmp_path) as where:
        for _ in range(KILLS[database]):
            acknowledged |= run_until_killed(where, rng)
        if database == "sqlite":
            with closing(sqlite3.connect(where)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        await check(where, acknowledged, rng)


@pytest.mark.parametrize("database", LOGS)
async def test_two_programs_that_write_one_log_at_once_and_are_killed_leave_one_log(
    database: str, tmp_path: Path
) -> None:
    rng = seeded()
    with LOGS[database](tmp_path) as where:
        await (await SqlStore.open(where, projections=[Tally()])).close()
        both = [asyncio.to_thread(run_until_killed, where, random.Random(rng.random())) for _ in range(2)]
        one, other = await asyncio.gather(*both)
        assert not one.keys() & other.keys()
        await check(where, one | other, rng)


class Writer:
    """Appends, and asks again where it was not told what became of it, until it is told to stop."""

    def __init__(self, store: SqlStore, rng: random.Random) -> None:
        self.store, self.rng = store, rng
        self.acknowledged: dict[int, int] = {}
        self.stopping = False
        self.troubles = 0

    async def work(self) -> None:
        while not self.stopping:
            number = self.rng.getrandbits(63)
            with suppress(AlreadyClaimed):
                appended = await self.taken(append_of(number))
                self.acknowledged[appended.position] = number

    async def taken(self, append: Append) -> Appended:
        while True:
            try:
                return await self.store.append(append)
            except Unavailable:
                self.troubles += 1
                await asyncio.sleep(0.01)


async def test_no_acknowledged_event_is_lost_or_written_twice_when_postgres_is_killed(tmp_path: Path) -> None:
    rng, server = seeded(), postgres.shared()
    with postgres.schema() as where:
        store = await SqlStore.open(where, projections=[Tally()])
        writers = [Writer(store, random.Random(rng.random())) for _ in range(WRITERS)]
        async with asyncio.TaskGroup() as group:
            for writer in writers:
                group.create_task(writer.work())
            for _ in range(SERVER_KILLS):
                await store.wait_beyond(await position(store) + rng.randrange(1, 300))
                await asyncio.sleep(rng.uniform(0, 0.02))
                await asyncio.to_thread(server.kill)
                server.start()
            await store.wait_beyond(await position(store) + 1)
            for writer in writers:
                writer.stopping = True
        await store.close()
        assert sum(writer.troubles for writer in writers) > 0
        acknowledged = {at: number for writer in writers for at, number in writer.acknowledged.items()}
        assert len(acknowledged) == sum(len(writer.acknowledged) for writer in writers)
        await check(where, acknowledged, rng)


async def position(store: SqlStore) -> int:
    while True:
        try:
            return (await store.head()).position
        except Unavailable:  # crash recovery takes a moment
            await asyncio.sleep(0.01)


async def check(where: str, acknowledged: dict[int, int], rng: random.Random) -> None:
    """The log is whole, has all that was acknowledged, and all that is made from it fits."""
    store = await SqlStore.open(where, projections=[Tally()])
    try:
        log, head = await whole_log(store), await store.head()
        verdict = verify(head.log_id, log)
        assert verdict.ok, verdict.fault
        assert verdict.head.position == head.position == len(log)
        numbers = {event.position: struct.unpack(">Q", event.data)[0] for event in log}
        assert acknowledged.items() <= numbers.items()
        assert len(set(numbers.values())) == len(numbers), "a command was written twice"
        assert await store.holdings() == rebuild_holdings(log, meaning)
        assert sum((await store.query(Tally().read)).values()) == len(log)
        for position, number in rng.sample(sorted(numbers.items()), 50):
            request = request_of(number)
            answer = await store.recall(request.key, request.command_hash)
            assert answer is not None
            assert (answer.position, answer.response) == (position, request.response)
    finally:
        await store.close()
