"""Everything breaks at random while a log is published and followed: nothing is lost, repeated or out of order.

SIDEGATE_CHAOS_SEED repeats a run's choices (not its timing); SIDEGATE_SOAK_SECONDS is how long the long run takes.
"""

import asyncio
import os
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging import subjects
from services.common.messaging.connection import Connection
from services.common.messaging.relay import Relay
from services.common.messaging.stream import ENDPOINT
from services.common.messaging.subjects import Selection
from services.common.messaging.subscription import Subscription
from tests.support.nats import (
    DEADLINE,
    WHOLE_LOG,
    Nats,
    append,
    cell_subject,
    connected,
    filler,
    follower,
    running,
    take,
    within,
)

SHORT = 5.0
SOAK = float(os.environ.get("SIDEGATE_SOAK_SECONDS", "60"))
CELLS = ("a", "b", "c", "d")

Program = Callable[[], Awaitable[None]]


class Agent:
    """Applies events. Its memory of them outlives it, as what an agent has programmed does."""

    def __init__(self, store: SqlStore, connection: Connection, selection: Selection) -> None:
        self._store = store
        self._connection = connection
        self._selection = selection
        self.applied: list[RecordedEvent] = []

    async def run(self) -> None:
        after = self.applied[-1].position if self.applied else 0
        fill = filler(self._store, self._selection.partition)
        async with Subscription(
            self._connection, ENDPOINT, self._selection, after=after, gap_fill=fill
        ) as subscription:
            async for event in subscription:
                self.applied.append(event)


class Programs:
    """Programs that run, and may be killed at any moment and started again."""

    def __init__(self) -> None:
        self._programs: dict[str, Program] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, program: Program) -> None:
        async def run() -> None:
            await program()

        self._programs[name] = program
        self._tasks[name] = asyncio.create_task(run())

    async def kill(self, name: str) -> None:
        await self._end(name)
        self.start(name, self._programs[name])

    async def end(self) -> None:
        for name in self._tasks:
            await self._end(name)

    async def _end(self, name: str) -> None:
        task = self._tasks[name]
        assert not task.done(), f"{name} ended by itself: {task.exception()!r}"
        task.cancel()
        await asyncio.wait({task}, timeout=DEADLINE)
        assert task.cancelled(), f"{name} cannot be ended"


class Nemesis:
    """Breaks something, now and then. Time itself is what it plays with, so it sleeps."""

    def __init__(self, chance: random.Random, nats: Nats, programs: Programs, copy: Path) -> None:
        self._chance = chance
        self._nats = nats
        self._programs = programs
        self._copy = copy
        self.done: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        planned = [(0.3, "copy"), (0.5, "roll back"), (0.7, "wipe")]
        while (elapsed := loop.time() - began) < seconds:
            await asyncio.sleep(self._chance.uniform(0.05, 0.6))
            if planned and elapsed > planned[0][0] * seconds:
                await self._do(planned.pop(0)[1])
            else:
                kinds = ["kill relay 1", "kill relay 2", "kill whole", "kill cell", "crash", "crash", "freeze"]
                await self._do(self._chance.choice(kinds))

    async def _do(self, kind: str) -> None:
        self.done[kind] += 1
        match kind.split(maxsplit=1):
            case ["kill", program]:
                await self._programs.kill(program)
            case ["crash"]:
                await self._nats.crash()
            case ["freeze"]:
                with self._nats.frozen():
                    await asyncio.sleep(self._chance.uniform(0.1, 1.5))
            case ["copy"]:
                await self._nats.copy(self._copy)
            case ["wipe"]:
                await self._nats.wipe()
            case _:
                await self._nats.roll_back(self._copy)


@asynccontextmanager
async def writing(store: SqlStore, chance: random.Random) -> AsyncIterator[None]:
    """Appends until it is left; it is not cancelled, since an append that is under way would be made all the same."""
    enough = asyncio.Event()

    async def write() -> None:
        while not enough.is_set():
            await append(store, chance.choice((1, 1, 1, 2, 5, 40)), chance.choice(CELLS), chance.randbytes(100))
            await asyncio.sleep(chance.random() * 0.01)

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        enough.set()
        await task


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(SHORT, id="short"),
        pytest.param(SOAK, id="soak", marks=[pytest.mark.soak, pytest.mark.timeout(SOAK + 120)]),
    ],
)
async def test_no_event_is_lost_repeated_or_out_of_order(tmp_path: Path, seconds: float) -> None:
    seed = int(os.environ.get("SIDEGATE_CHAOS_SEED") or secrets.randbelow(2**32))
    print(f"SIDEGATE_CHAOS_SEED={seed}")
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(running(tmp_path / "nats"))
        store = await SqlStore.open(tmp_path / "log.sqlite", synchronous="NORMAL")
        stack.push_async_callback(store.close)
        one, two, third = [await stack.enter_async_context(connected(nats, name)) for name in ("r1", "r2", "agents")]
        whole, cell = Agent(store, third, WHOLE_LOG), Agent(store, third, subjects.of_cell("a"))
        programs = Programs()
        stack.push_async_callback(programs.end)
        programs.start("relay 1", Relay(store, one, ENDPOINT, cell_subject).run)
        programs.start("relay 2", Relay(store, two, ENDPOINT, cell_subject).run)
        programs.start("whole", whole.run)
        programs.start("cell", cell.run)
        nemesis = Nemesis(chance, nats, programs, tmp_path / "copy")
        async with writing(store, chance):
            await nemesis.run(seconds)

        recorded = list(await store.read(0, 10_000_000))
        in_cell = [event for event in recorded if event.partition == "a"]
        await within(lambda: len(whole.applied) >= len(recorded) and len(cell.applied) >= len(in_cell))
        async with follower(store, nats) as afresh:
            published = await take(afresh, len(recorded))
        print(f"{len(recorded)} events; {dict(nemesis.done)}")
        assert published == recorded
        assert whole.applied == recorded
        assert cell.applied == in_cell
        assert (await store.head()).epoch == 1
