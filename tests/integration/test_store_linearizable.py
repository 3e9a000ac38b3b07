"""Each stream behaves as if commands and reads came one at a time, each between its call and its answer."""

import asyncio
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from pathlib import Path

import pytest

from services.common.eventsourcing.store import Append, Conflict, Exact, NewEvent
from tests.support.linearizability import Operation, is_linearizable
from tests.support.stores import AT, STORES, Store

Stream = tuple[bytes, ...]
EMPTY: Stream = ()


@dataclass(frozen=True, slots=True)
class Write:
    """`taken` is None if the answer was never heard."""

    expected: int
    data: bytes
    taken: bool | None


@dataclass(frozen=True, slots=True)
class Read:
    found: Stream


def step(stream: Stream, what: Write | Read) -> Iterable[Stream]:
    match what:
        case Read(found):
            return [stream] if found == stream else []
        case Write(expected, data, taken):
            fits = expected == len(stream)
            if taken is not None and taken != fits:
                return []
            return [(*stream, data)] if fits else [stream]


History = dict[str, list[Operation[Write | Read]]]


class Client:
    """Reads and writes a few streams, sometimes with an old version, sometimes too impatient for the answer."""

    def __init__(self, store: Store, name: str, history: History, rng: random.Random) -> None:
        self.store, self.name, self.history, self.rng = store, name, history, rng

    async def work(self, steps: int) -> None:
        for number in range(steps):
            stream = self.rng.choice(list(self.history))
            version = await self.read(stream)
            if self.rng.random() < 0.7:
                expected = max(0, version - (self.rng.random() < 0.2))
                await self.write(stream, expected, f"{self.name}-{number}".encode())

    async def read(self, stream: str) -> int:
        called = time.monotonic()
        found = tuple(event.data for event in await self.store.load(stream))
        self.record(stream, called, time.monotonic(), Read(found))
        return len(found)

    async def write(self, stream: str, expected: int, data: bytes) -> None:
        append = Append(stream, Exact(expected), [NewEvent("endpoint.changed", data)], AT)
        patience = 0.0005 if self.rng.random() < 0.2 else None
        called = time.monotonic()
        taken: bool | None
        try:
            await asyncio.wait_for(self.store.append(append), patience)
            taken = True
        except Conflict:
            taken = False
        except TimeoutError:
            taken = None
        returned = inf if taken is None else time.monotonic()
        self.record(stream, called, returned, Write(expected, data, taken))

    def record(self, stream: str, called: float, returned: float, what: Write | Read) -> None:
        self.history[stream].append(Operation(called, returned, what))


@pytest.mark.parametrize("implementation", STORES)
async def test_concurrent_histories_of_each_stream_are_linearizable(implementation: str, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    history: History = {f"endpoint-{number}": [] for number in range(3)}
    async with STORES[implementation](tmp_path) as store:
        clients = [Client(store, f"c{number}", history, random.Random(rng.random())) for number in range(8)]
        await asyncio.gather(*[client.work(40) for client in clients])
    for stream, operations in history.items():
        assert is_linearizable(operations, EMPTY, step), stream
    writes = [
        operation.what for stream in history.values() for operation in stream if isinstance(operation.what, Write)
    ]
    assert {write.taken for write in writes} >= {True, False}


def a_history(*operations: tuple[float, float, Write | Read]) -> list[Operation[Write | Read]]:
    return [Operation(*operation) for operation in operations]


def test_overlapping_operations_may_take_effect_in_any_order() -> None:
    overlapping = a_history(
        (0, 10, Write(0, b"a", taken=True)),
        (1, 2, Read(())),
        (1, 9, Write(0, b"b", taken=False)),
        (3, 4, Read((b"a",))),
    )
    assert is_linearizable(overlapping, EMPTY, step)


def test_a_write_without_an_answer_may_have_happened_or_not() -> None:
    unheard = (0.0, inf, Write(0, b"a", taken=None))
    assert is_linearizable(a_history(unheard, (1, 2, Read(()))), EMPTY, step)
    assert is_linearizable(a_history(unheard, (1, 2, Read((b"a",)))), EMPTY, step)
    assert is_linearizable(a_history(unheard, (1, 2, Read(())), (3, 4, Read((b"a",)))), EMPTY, step)
    assert not is_linearizable(a_history(unheard, (1, 2, Read((b"a",))), (3, 4, Read(()))), EMPTY, step)


@pytest.mark.parametrize(
    "broken",
    [
        a_history((0, 1, Write(0, b"a", taken=True)), (2, 3, Read(()))),
        a_history((0, 1, Write(0, b"a", taken=True)), (2, 3, Write(0, b"b", taken=True))),
        a_history((0, 1, Write(1, b"a", taken=True))),
        a_history((0, 1, Write(0, b"a", taken=False))),
        a_history((0, 1, Read((b"a",))), (2, 3, Write(0, b"a", taken=True))),
        a_history((0, 9, Write(0, b"a", taken=True)), (1, 2, Read((b"a",))), (3, 4, Read(()))),
    ],
    ids=["stale read", "lost update", "gap", "false conflict", "read from the future", "flicker"],
)
def test_what_no_order_explains_is_found(broken: list[Operation[Write | Read]]) -> None:
    assert not is_linearizable(broken, EMPTY, step)
