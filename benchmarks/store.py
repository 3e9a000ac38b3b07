"""How fast the event store appends and scans, beside the bare sqlite3 driver: `python -m benchmarks.store`.

Store and driver take turns within each round, so that a busy machine slows both; the table shows medians of the rounds.
The driver does what the store cannot do without: lock, look up the last event, insert events and requests, commit.
"""

import argparse
import asyncio
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from services.common.eventsourcing.sql_schema import events, requests
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import AnyVersion, Append, NewEvent, Request, RequestKey
from sidegate.evidence import verify

IN_FLIGHT = (1, 64, 256)
PAGE = 5000
STREAMS = 1000
DATA, META, HASH, ANSWER = bytes(200), bytes(40), bytes(32), bytes(100)

Numbers = Iterator[int]
Rates = defaultdict[str, list[float]]


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


async def store_appends(store: SqlStore, in_flight: int, seconds: float, numbers: Numbers) -> float:
    end, done = time.perf_counter() + seconds, 0

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await store.append(the_append(next(numbers)))
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*[client() for _ in range(in_flight)])
    return done / (time.perf_counter() - started)


def driver_appends(connection: sqlite3.Connection, batch: int, seconds: float, numbers: Numbers) -> float:
    insert_event = f"INSERT INTO events VALUES ({', '.join('?' * len(events.columns))})"  # noqa: S608 - question marks
    insert_request = f"INSERT INTO requests VALUES ({', '.join('?' * len(requests.columns))})"  # noqa: S608 - the same
    started, done = time.perf_counter(), 0
    while time.perf_counter() < started + seconds:
        connection.execute("BEGIN IMMEDIATE")
        (last,) = connection.execute("SELECT coalesce(max(position), 0) FROM events").fetchone()
        some = [(last + place, next(numbers)) for place in range(1, batch + 1)]
        connection.executemany(insert_event, [driver_event(position, number) for position, number in some])
        connection.executemany(insert_request, [driver_request(position, number) for position, number in some])
        connection.execute("COMMIT")
        done += batch
    return done / (time.perf_counter() - started)


def driver_event(position: int, number: int) -> tuple[object, ...]:
    stream = f"endpoint-{number % STREAMS}"
    return (position, stream, number, bytes(16), "endpoint.changed", 1, 0, f"cell-{number % 7}", 0, DATA, META, HASH)


def driver_request(position: int, number: int) -> tuple[object, ...]:
    return ("acme", "shop", "CreateEndpoint", f"request-{number}", HASH, ANSWER, position, 1)


async def store_scan(store: SqlStore) -> float:
    started, after, found = time.perf_counter(), 0, 0
    while page := await store.read(after, PAGE):
        after, found = page[-1].position, found + len(page)
    return found / (time.perf_counter() - started)


async def verification(store: SqlStore) -> float:
    head, log = await store.head(), await store.read(0, 1_000_000)
    started = time.perf_counter()
    verdict = verify(head.log_id, log)
    if not verdict.ok:
        raise RuntimeError(str(verdict.fault))
    return verdict.count / (time.perf_counter() - started)


def driver_scan(connection: sqlite3.Connection) -> float:
    started, after, found = time.perf_counter(), 0, 0
    query = "SELECT * FROM events WHERE position > ? ORDER BY position LIMIT ?"
    while page := connection.execute(query, (after, PAGE)).fetchall():
        after, found = page[-1][0], found + len(page)
    return found / (time.perf_counter() - started)


async def measure(directory: Path, arguments: argparse.Namespace) -> tuple[Rates, Rates]:
    by_store: Rates = defaultdict(list)
    by_driver: Rates = defaultdict(list)
    store = await SqlStore.open(directory / "store.sqlite", synchronous=arguments.synchronous)
    await (await SqlStore.open(directory / "driver.sqlite")).close()
    store_numbers, driver_numbers = count(1), count(1)
    with closing(sqlite3.connect(directory / "driver.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {arguments.synchronous}")
        for _ in range(arguments.rounds):
            for in_flight in IN_FLIGHT:
                name = f"append, {in_flight} in flight"
                by_store[name].append(await store_appends(store, in_flight, arguments.seconds, store_numbers))
                by_driver[name].append(driver_appends(connection, in_flight, arguments.seconds, driver_numbers))
            by_store["scan"].append(await store_scan(store))
            by_driver["scan"].append(driver_scan(connection))
            by_store["verify"].append(await verification(store))
    await store.close()
    return by_store, by_driver


def table(by_store: Rates, by_driver: Rates, title: str) -> Table:
    shown = Table(title=title)
    for heading in ("events per second", "store", "driver", "driver / store", "store, rounds"):
        shown.add_column(heading, justify="left" if heading.startswith("events") else "right")
    for name, rates in by_store.items():
        bare = median(by_driver[name]) if name in by_driver else None
        shown.add_row(
            name,
            f"{median(rates):,.0f}",
            f"{bare:,.0f}" if bare else "",
            f"{bare / median(rates):.1f}" if bare else "",
            f"{min(rates):,.0f} - {max(rates):,.0f}",
        )
    return shown


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement of appends")
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL"), default="FULL")
    parser.add_argument(
        "--directory", type=Path, help="on the disk to measure; the system's for temporary files if not given"
    )
    return parser.parse_args(words)


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="sidegate-benchmark-", dir=arguments.directory) as directory:
        by_store, by_driver = asyncio.run(measure(Path(directory), arguments))
    title = (
        f"SQLite {sqlite3.sqlite_version}, synchronous={arguments.synchronous}, medians of {arguments.rounds} rounds"
    )
    Console().print(table(by_store, by_driver, title))


if __name__ == "__main__":
    main()
