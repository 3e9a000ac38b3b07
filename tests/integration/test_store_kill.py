"""A process that appends is killed again and again: what it acknowledged stays."""

import os
import random
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.eventsourcing.sql_store import SqlStore
from sidegate.evidence import verify
from tests.support.appender import ACKNOWLEDGED, meaning, request_of
from tests.support.stores import LOGS, Tally, whole_log

KILLS = {"sqlite": 8, "postgres": 5}


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
        assert await store.holdings() == rebuild_holdings(log, meaning)
        assert sum((await store.query(Tally().read)).values()) == len(log)
        for position, number in rng.sample(sorted(numbers.items()), 50):
            request = request_of(number)
            answer = await store.recall(request.key, request.command_hash)
            assert answer is not None
            assert (answer.position, answer.response) == (position, request.response)
    finally:
        await store.close()
