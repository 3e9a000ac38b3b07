"""How fast a log of a million events is read: replayed, asked of any moment, and listed from what it left."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from sqlalchemy import Connection, select

from benchmarks.drivers import PAGE
from benchmarks.figures import Figure, compare, compare_quantiles, quantile, rounded
from benchmarks.plan import Plan, Step
from benchmarks.processes import Failed
from services.common.eventsourcing.resource_table import RESOURCES
from services.common.eventsourcing.sql_store import SqlStore
from services.common.history.history import History
from services.common.history.keeper import EVERY, SnapshotKeeper
from services.common.rpc.server import RpcServer
from services.endpoint.__main__ import public_of
from services.endpoint.application.limits import Limits
from services.endpoint.application.past import PAST
from services.endpoint.application.service import EndpointApplication
from services.endpoint.projections import REDUCER, TABLE
from services.endpoint.wire.stored import ENDPOINT_STREAM, endpoint_stream
from sidegate.api.endpoint.v1 import endpoint_service_pb2 as rpc
from sidegate.api.endpoint.v1.endpoint_service_pb2_grpc import EndpointsServiceStub
from sidegate.evidence import GENESIS, RecordedEvent, link_hash
from sidegate.transport import Caller
from tests.support import identity
from tests.support.endpoint_service import CONSUMER, FakeRegistry, endpoint_world

LIFE = 10
"""Events of one endpoint."""

MILLION = 1_000_000
AT_ONCE = 1000
"""Endpoints that live at the same time, their events by turns."""

OURS = 500
"""Endpoints of the project that asks; every other one has 20."""

FEW = 1000
"""Endpoints that growth is measured from."""

SIZE = f"a log of {MILLION:,} events of {MILLION // LIFE:,} endpoints on SQLite (fewer with --quick)"
METHODS = {
    "past_replay": (
        f"The whole of {SIZE}, folded to what is there and which event says so; seconds for a million events"
    ),
    "past_read_model": (
        f"The read table that lists are answered from, dropped and made anew from {SIZE}, then compared row by row "
        "with the replay; seconds for a million events"
    ),
    "past_state": f"A project of 20 endpoints at a random position of {SIZE}, with a snapshot every {EVERY:,} events",
    "past_get": (
        "GetEndpoint by gRPC on the same machine, one after another; compared with the same where 1,000 are stored"
    ),
    "past_list": "ListEndpoints, a page of 100, likewise",
}
SCAN = f"sqlite3 {sqlite3.sqlite_version}, the same rows"


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


def write(path: Path, events: Iterator[RecordedEvent]) -> None:
    """A log with a true chain, in one transaction: what is measured is reading."""
    with closing(sqlite3.connect(path)) as connection:
        (log_id,) = connection.execute("SELECT log_id FROM log_info").fetchone()
        connection.executemany(f"INSERT INTO events VALUES ({','.join('?' * 12)})", _chained(log_id, events))  # noqa: S608 - marks
        connection.commit()


def _chained(log_id: str, events: Iterator[RecordedEvent]) -> Iterator[RecordedEvent]:
    link, now = GENESIS, time.time_ns()
    for position, event in enumerate(events, 1):
        placed = event._replace(
            position=position, event_id=position.to_bytes(16, "big"), recorded_at=now + position, prev=position - 1
        )
        link = link_hash(log_id, link, placed)
        yield placed._replace(hash=link)


async def a_log(path: Path, life: Sequence[RecordedEvent], events: int) -> Path:
    await (await SqlStore.open(path)).close()
    await asyncio.to_thread(write, path, lives(life, events))
    return path


def scan(path: Path) -> float:
    """Seconds for the driver's rows."""
    started, after = time.perf_counter(), 0
    with closing(sqlite3.connect(path)) as connection:
        query = f"SELECT * FROM events WHERE position > ? ORDER BY position LIMIT {PAGE}"  # noqa: S608 - a number
        while page := connection.execute(query, (after,)).fetchall():
            after = page[-1][0]
    return time.perf_counter() - started


def what_is_there(connection: Connection) -> set[tuple[str, str, int, int]]:
    table = RESOURCES.c
    rows = select(table.kind, table.id, table.created_position, table.position)
    return {(row.kind, row.id, row.created_position, row.position) for row in connection.execute(rows)}


class Rounds:
    """Seconds of each round, for as many events as there are."""

    def __init__(self, path: Path, events: int) -> None:
        self._path, self._scale = path, MILLION / events
        self._replays, self._models, self._scans = list[float](), list[float](), list[float]()

    async def take(self) -> None:
        self._scans.append(scan(self._path) * self._scale)
        store = await SqlStore.open(self._path)
        started = time.perf_counter()
        index = await History(store, REDUCER).at((await store.head()).position)
        self._replays.append((time.perf_counter() - started) * self._scale)
        await store.close()
        store = await SqlStore.open(self._path, projections=[TABLE])
        started = time.perf_counter()
        await store.rebuild()
        self._models.append((time.perf_counter() - started) * self._scale)
        there = await store.query(what_is_there)
        await store.close()
        if there != {(*key, place.created, place.position) for key, place in index.items()}:
            raise Failed("the read model that was made anew is not what the replay gives")

    def figures(self) -> Iterator[Figure]:
        for name, ours in (("past_replay", self._replays), ("past_read_model", self._models)):
            yield compare(name, ours, "s", method=f"{METHODS[name]}.", other=SCAN, theirs=self._scans)


async def states(path: Path, samples: int) -> Sequence[Figure]:
    """Seconds for a project at a random position, from a program that remembers nothing of the last question."""
    store, draw, taken = await SqlStore.open(path), random.Random(2), list[float]()  # noqa: S311 - it hides nothing
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


async def calls(path: Path, samples: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each GetEndpoint and each ListEndpoints."""
    store, limits = await SqlStore.open(path, projections=[TABLE]), Limits()
    application = await EndpointApplication.open(store, FakeRegistry(), limits)
    server = RpcServer(identity.public(), public_of(application))
    caller = Caller(await server.start(), identity.access_of(CONSUMER))
    try:
        stub, request = EndpointsServiceStub(caller.channel), rpc.ListEndpointsRequest(page_size=100)
        ids = [each.id for each in (await caller.ask(stub.ListEndpoints, request)).endpoints]
        gets = [
            await timed(lambda id_=id_: caller.ask(stub.GetEndpoint, rpc.GetEndpointRequest(id=id_)))  # type: ignore[misc] # a lambda's default has no type
            for id_ in (ids * (samples // len(ids) + 1))[:samples]
        ]
        lists = [await timed(lambda: caller.ask(stub.ListEndpoints, request)) for _ in range(samples)]
        return gets, lists
    finally:
        await caller.close()
        await server.stop(0)
        await store.close()


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await call()
    return (time.perf_counter() - started) * 1000


def steps(plan: Plan) -> int:
    return plan.rounds + 4


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    with TemporaryDirectory(prefix="sidegate-bench-") as made:
        directory = Path(made)
        step("writing the logs")
        life = await a_life(directory)
        large = await a_log(directory / "large.sqlite", life, plan.events)
        small = await a_log(directory / "small.sqlite", life, FEW * LIFE)
        rounds = Rounds(large, plan.events)
        for number in range(plan.rounds):
            step(f"round {number + 1}: replay")
            await rounds.take()
        step("moments")
        found = [*rounds.figures(), *await states(large, max(plan.samples // 4, 5))]
        step("lists where few are stored")
        few = await calls(small, plan.samples)
        step("lists where many are stored")
        many = await calls(large, plan.samples)
        for name, ours, theirs in zip(("past_get", "past_list"), many, few, strict=True):
            other, method = f"{FEW:,} stored", f"{METHODS[name]}."
            found.append(compare_quantiles(f"{name}_p99", 0.99, ours, "ms", method=method, other=other, theirs=theirs))
        return found
