"""How fast a log of a million events is read: replayed to the state of everything, and asked of any moment."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import psycopg
from sqlalchemy import Connection, select

from benchmarks.drivers import Driver, postgres_driver, sqlite_driver
from benchmarks.figures import Figure, compare, quantile, rounded
from benchmarks.plan import Plan, Step
from benchmarks.processes import Failed
from services.common.eventsourcing.resource_table import RESOURCES
from services.common.eventsourcing.sql_store import SqlStore
from services.common.history.history import History
from services.common.history.keeper import EVERY, SnapshotKeeper
from services.endpoint.application.past import PAST
from services.endpoint.projections import REDUCER, TABLE
from services.endpoint.wire.stored import ENDPOINT_STREAM, endpoint_stream
from sidegate.evidence import GENESIS, RecordedEvent, link_hash
from tests.support import postgres
from tests.support.endpoint_service import CONSUMER, endpoint_world

LIFE = 10
"""Events of one endpoint."""

MILLION = 1_000_000
AT_ONCE = 1000
"""Endpoints that live at the same time, their events by turns."""

OURS = 500
"""Endpoints of one project; every other one has 20."""

LOG_ID = "SELECT log_id FROM log_info"
DATABASES = ("sqlite", "postgresql")
DRIVERS: Mapping[str, Callable[[str], AbstractContextManager[Driver]]] = {
    "sqlite": lambda log: sqlite_driver(Path(log)),
    "postgresql": postgres_driver,
}
SIZE = f"a log of {MILLION:,} events of {MILLION // LIFE:,} endpoints (fewer with --quick)"
METHODS = {
    "past_replay": (
        f"The whole of {SIZE}, folded to what is there and which event says so; seconds for a million events"
    ),
    "past_read_model": (
        f"The read table that lists are answered from, dropped and made anew from {SIZE}, then compared row by row "
        "with the replay; seconds for a million events"
    ),
    "past_state": (
        f"A project of 20 endpoints at a random position of {SIZE} on SQLite, with a snapshot every {EVERY:,} events"
    ),
}


async def a_life(directory: Path) -> Sequence[RecordedEvent]:
    """The events of one endpoint: asked for, accepted, forwarded, then changed again and again."""
    async with endpoint_world(directory) as world:
        await world.join()
        endpoint = await world.create()
        await world.forwarding(endpoint.id)
        for number in range(LIFE):
            await world.change(endpoint.id, name=f"name-{number}")
        return (await world.store.load(endpoint_stream(endpoint.id)))[:LIFE]


def lives(life: Sequence[RecordedEvent], events: int) -> Iterator[RecordedEvent]:
    """As many endpoints as that takes: names of the same length stand where the first one's stood."""
    draw = random.Random(1)  # noqa: S311 - it hides nothing
    before = life[0].stream.removeprefix(ENDPOINT_STREAM).encode()
    for block in range(0, events // LIFE, AT_ONCE):
        made = [(number, str(UUID(int=draw.getrandbits(128)))) for number in range(block, block + AT_ONCE)]
        for event in life:
            for number, id_ in made:
                data = event.data.replace(before, id_.encode())
                yield event._replace(stream=endpoint_stream(id_), data=data.replace(*_owner(number)))


def _owner(number: int) -> tuple[bytes, bytes]:
    ours = CONSUMER.account.encode()
    return ours, ours if number < OURS else ours[:-5] + b"%05x" % (number // 20)


def write(log: str, events: Iterator[RecordedEvent], begin: int = 0, apart: int = 1) -> None:
    """A log with a true chain, in one transaction: what is measured is reading.

    It begins at a moment (0: now); its events are so many nanoseconds apart.
    """
    if "://" in log:
        _write_to_postgres(log, events)
        return
    with closing(sqlite3.connect(log)) as connection:
        (log_id,) = connection.execute(LOG_ID).fetchone()
        chained = _chained(log_id, events, begin, apart)
        connection.executemany(f"INSERT INTO events VALUES ({','.join('?' * 12)})", chained)  # noqa: S608 # question marks only
        connection.commit()


def _write_to_postgres(log: str, events: Iterator[RecordedEvent]) -> None:
    with psycopg.connect(log) as connection, connection.cursor() as cursor:
        ((log_id,),) = cursor.execute(LOG_ID).fetchall()
        with cursor.copy("COPY events FROM STDIN") as copy:
            for event in _chained(log_id, events):
                copy.write_row(event)
        cursor.execute("ANALYZE events")


def _chained(log_id: str, events: Iterator[RecordedEvent], begin: int = 0, apart: int = 1) -> Iterator[RecordedEvent]:
    link, begin = GENESIS, begin or time.time_ns()
    for position, event in enumerate(events, 1):
        placed = event._replace(
            position=position,
            event_id=position.to_bytes(16, "big"),
            recorded_at=begin + position * apart,
            prev=position - 1,
        )
        link = link_hash(log_id, link, placed)
        yield placed._replace(hash=link)


async def a_log(log: str, life: Sequence[RecordedEvent], events: int) -> str:
    await (await SqlStore.open(log)).close()
    await asyncio.to_thread(write, log, lives(life, events))
    return log


def scan(driver: Driver) -> float:
    """Seconds for the driver's rows."""
    started, after = time.perf_counter(), 0
    while page := driver.page(after):
        after = int(str(page[-1][0]))
    return time.perf_counter() - started


def what_is_there(connection: Connection) -> set[tuple[str, str, int, int]]:
    table = RESOURCES.c
    rows = select(table.kind, table.id, table.created_position, table.position)
    return {(row.kind, row.id, row.created_position, row.position) for row in connection.execute(rows)}


class Rounds:
    """Seconds of each round, for as many events as there are."""

    def __init__(self, database: str, log: str, driver: Driver, events: int) -> None:
        self._database, self._log, self._driver, self._scale = database, log, driver, MILLION / events
        self._replays, self._models, self._scans = list[float](), list[float](), list[float]()

    async def take(self) -> None:
        self._scans.append(scan(self._driver) * self._scale)
        store = await SqlStore.open(self._log)
        started = time.perf_counter()
        index = await History(store, REDUCER).at((await store.head()).position)
        self._replays.append((time.perf_counter() - started) * self._scale)
        await store.close()
        store = await SqlStore.open(self._log, projections=[TABLE])
        started = time.perf_counter()
        await store.rebuild()
        self._models.append((time.perf_counter() - started) * self._scale)
        there = await store.query(what_is_there)
        await store.close()
        if there != {(*key, place.created, place.position) for key, place in index.items()}:
            raise Failed("the read model that was made anew is not what the replay gives")

    def figures(self) -> Iterator[Figure]:
        other = f"{self._driver.name}, the same rows"
        for name, ours in (("past_replay", self._replays), ("past_read_model", self._models)):
            method = f"{METHODS[name]}."
            yield compare(f"{name}_{self._database}", ours, "s", method=method, other=other, theirs=self._scans)


async def states(log: str, samples: int) -> Sequence[Figure]:
    """Seconds for a project at a random position, from a program that remembers nothing of the last question."""
    store, draw, taken = await SqlStore.open(log), random.Random(2), list[float]()  # noqa: S311 - it hides nothing
    end = (await store.head()).position
    await SnapshotKeeper(store, History(store, REDUCER), min(EVERY, end // 4)).once()
    owner = f"{_owner(OURS + 1)[1].decode()}/{CONSUMER.project}"
    for _ in range(samples):
        started, history = time.perf_counter(), History(store, REDUCER)
        found = PAST.owned(await history.at(draw.randint(1, end)), owner)
        await history.events([shown.place.position for shown in found])
        taken.append(time.perf_counter() - started)
    await store.close()
    method = f"{METHODS['past_state']}."
    return [
        Figure(f"past_state_{name}", rounded(quantile(taken, share)), "s", "", None, samples, method)
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]


def steps(plan: Plan) -> int:
    return len(DATABASES) * (plan.rounds + 1) + 1


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    found: list[Figure] = []
    with TemporaryDirectory(prefix="sidegate-bench-") as made:
        directory = Path(made)
        life = await a_life(directory)
        for database in DATABASES:
            with ExitStack() as stack:
                step(f"{database}: writing the log")
                log = await a_log(_where(database, directory, stack), life, plan.events)
                driver = stack.enter_context(DRIVERS[database](log))
                rounds = Rounds(database, log, driver, plan.events)
                for number in range(plan.rounds):
                    step(f"{database}: round {number + 1}")
                    await rounds.take()
                found += rounds.figures()
                if database == "sqlite":
                    step("moments")
                    found += await states(log, max(plan.samples // 4, 5))
    return found


def _where(database: str, directory: Path, stack: ExitStack) -> str:
    if database == "sqlite":
        return str(directory / "past.sqlite")
    return postgres.shared().url(stack.enter_context(postgres.database()))
