"""When connections end by themselves: none is forgotten, whatever is noted meanwhile."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.endpoint.application.expiries import Expiries


class Store:
    """Takes as long as a test wants to end a connection, and remembers whose."""

    def __init__(self) -> None:
        self.asked, self.may, self.ended = asyncio.Event(), asyncio.Event(), list[str]()
        self.endpoints, self.failing = self, False

    async def execute(self, stream: str, *_: object) -> Any:
        self.asked.set()
        await self.may.wait()
        if self.failing:
            raise RuntimeError("away")
        self.ended.append(stream.rpartition("-")[2])
        return SimpleNamespace(state=None)

    async def batches(self, *_: object, **__: object) -> Any:
        for row in list[Any]():
            yield row


def facts(id_: str, ends: int) -> Any:
    return SimpleNamespace(id=id_, expires_at=ends, drain_until=0)


def expiries(store: Store) -> Expiries:
    return Expiries(cast(Any, store), cast(Any, store), cast(Any, None), lambda: 100)


async def test_what_is_noted_while_another_ends_ends_too_though_it_is_sooner() -> None:
    store = Store()
    made = expiries(store)
    made.note(facts("endpoint-y", 90))
    turn = asyncio.create_task(made.tick())
    await asyncio.wait_for(store.asked.wait(), 10)
    made.note(facts("endpoint-x", 80))
    store.may.set()
    await turn
    assert store.ended == ["y", "x"]


async def test_what_could_not_be_ended_is_tried_again() -> None:
    store = Store()
    store.may.set()
    made = expiries(store)
    made.note(facts("endpoint-y", 90))
    store.failing = True
    with pytest.raises(RuntimeError):
        await made.tick()
    store.failing = False
    await made.tick()
    assert store.ended == ["y"]
