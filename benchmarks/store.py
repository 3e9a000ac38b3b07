"""How fast the event store appends and scans on each database, beside the database's bare driver."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.drivers import ANSWER, DATA, HASH, META, PAGE, STREAMS, Driver, postgres_driver, sqlite_driver
from benchmarks.figures import Figure, compare
from benchmarks.plan import Plan, Step
from benchmarks.processes import Failed
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import AnyVersion, Append, NewEvent, Request, RequestKey
from sidegate.evidence import verify
from tests.support import postgres

IN_FLIGHT = (1, 64, 256)
DATABASES = ("sqlite", "postgresql")
EVENT = "an event of 200 bytes with its request's answer"

METHODS = {
    "append": (
        f"Commands of {EVENT}, appended to {STREAMS} streams, {{}} in flight at once, each durable when it is "
        "answered. The driver does only what no log can do without: lock, look at the end, insert both rows of as many "
        "commands, commit"
    ),
    "scan": f"The whole log, read in pages of {PAGE}, as events; the driver gives rows",
    "verify": "The hash chain of the whole log in memory, every column of every event",
}


@dataclass(frozen=True, slots=True)
class Bench:
    """A store and a driver on databases of the same kind, each of its own. Numbers never come twice."""

    database: str
    store: SqlStore
    driver: Driver
    of_store: Iterator[int]
    of_driver: Iterator[int]


Measurement = Callable[[Bench, float], float]
"""Something per second, measured for so many seconds."""


def the_append(number: int) -> Append:
    key = RequestKey("acme", "shop", "CreateEndpoint", f"request-{number}")
    return Append(
        stream=f"endpoint-{number % STREAMS}",
        expected=AnyVersion(),
        events=[NewEvent("endpoint.changed", DATA)],
        at=time.time_ns(),
        partition=f"cell-{number % 7}",
        meta=META,
        request=Request(key, HASH, ANSWER),
    )


async def store_appends(store: SqlStore, numbers: Iterator[int], in_flight: int, seconds: float) -> float:
    end, done = time.perf_counter() + seconds, 0

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await store.append(the_append(next(numbers)))
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*[client() for _ in range(in_flight)])
    return done / (time.perf_counter() - started)


def driver_appends(bench: Bench, batch: int, seconds: float) -> float:
    started, done = time.perf_counter(), 0
    while time.perf_counter() < started + seconds:
        bench.driver.append(list(islice(bench.of_driver, batch)))
        done += batch
    return done / (time.perf_counter() - started)


async def store_scan(store: SqlStore) -> float:
    started, after, found = time.perf_counter(), 0, 0
    while page := await store.read(after, PAGE):
        after, found = page[-1].position, found + len(page)
    return found / (time.perf_counter() - started)


def driver_scan(driver: Driver) -> float:
    started, after, found = time.perf_counter(), 0, 0
    while page := driver.page(after):
        after, found = int(str(page[-1][0])), found + len(page)
    return found / (time.perf_counter() - started)


async def verification(store: SqlStore) -> float:
    head, log = await store.head(), await store.read(0, 1_000_000)
    started = time.perf_counter()
    verdict = verify(head.log_id, log)
    if not verdict.ok:
        raise Failed(f"the log that was written is not intact: {verdict.fault}")
    return verdict.count / (time.perf_counter() - started)


class Rounds:
    """Events per second of the store and of the driver, round by round."""

    def __init__(self) -> None:
        self._ours: dict[str, list[float]] = defaultdict(list)
        self._theirs: dict[str, list[float]] = defaultdict(list)

    async def take(self, bench: Bench, seconds: float) -> None:
        for in_flight in IN_FLIGHT:
            name = f"append_{in_flight}_{bench.database}"
            self._ours[name].append(await store_appends(bench.store, bench.of_store, in_flight, seconds))
            self._theirs[name].append(driver_appends(bench, in_flight, seconds))
        name = f"scan_{bench.database}"
        self._ours[name].append(await store_scan(bench.store))
        self._theirs[name].append(driver_scan(bench.driver))
        if bench.database == "sqlite":
            self._ours["verify"].append(await verification(bench.store))

    def figures(self, benches: Sequence[Bench]) -> Iterator[Figure]:
        for bench in benches:
            for kind, name, label in [*((f"append_{n}", "append", n) for n in IN_FLIGHT), ("scan", "scan", "")]:
                key, method = f"{kind}_{bench.database}", METHODS[name].format(label)
                ours, theirs, other = self._ours[key], self._theirs[key], bench.driver.name
                yield compare(f"store_{key}", ours, "events/s", method=f"{method}.", other=other, theirs=theirs)
        yield compare("verify", self._ours["verify"], "events/s", method=f"{METHODS['verify']}.")


def steps(plan: Plan) -> int:
    return plan.rounds * len(DATABASES)


async def measure(plan: Plan, step: Step, databases: Sequence[str] = DATABASES) -> Sequence[Figure]:
    with ExitStack() as stack:
        benches = [await opened(name, stack) for name in databases]
        rounds = Rounds()
        for number in range(plan.rounds):
            for bench in benches:
                step(f"round {number + 1}: {bench.database}")
                await rounds.take(bench, plan.seconds / 2)
        for bench in benches:
            await bench.store.close()
        return list(rounds.figures(benches))


async def opened(database: str, stack: ExitStack) -> Bench:
    """The tables are made by a store on both sides, so that keys and indices are the same."""
    if database == "sqlite":
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="sidegate-bench-")))
        ours, theirs = str(directory / "store.sqlite"), str(directory / "driver.sqlite")
        driver: AbstractContextManager[Driver] = sqlite_driver(Path(theirs))
    else:
        ours, theirs = [postgres.shared().url(stack.enter_context(postgres.database())) for _ in range(2)]
        driver = postgres_driver(theirs)
    await (await SqlStore.open(theirs)).close()
    return Bench(database, await SqlStore.open(ours), stack.enter_context(driver), count(1), count(1))
