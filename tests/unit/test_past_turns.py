"""How much of the past a project may ask: one question at a time, of so many events, and never at others' cost."""

import asyncio

import pytest

from services.common.errors import QuotaReached
from services.common.history.memory import NOTHING, Memory, Remembered
from services.common.history.turns import Allowance, Turns

SMALL = Allowance(burst=3_000, per_second=100, least=1_000, in_line=1, at_once=1)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def ask(turns: Turns, project: str, cost: float = 0.0) -> None:
    async with turns.of(project):
        turns.pay(project, cost)


async def test_a_project_that_has_asked_too_much_is_told_when_it_may_ask_again_and_others_are_not_held_up() -> None:
    clock = Clock()
    turns = Turns(SMALL, clock)
    await ask(turns, "shop/default", 5_000)
    with pytest.raises(QuotaReached) as refused:
        await ask(turns, "shop/default")
    assert refused.value.reason == "TOO_MANY_QUESTIONS"
    seconds = int(refused.value.metadata["retry_seconds"])
    await ask(turns, "bank/default")
    clock.now += seconds
    await ask(turns, "shop/default")


async def test_questions_of_one_project_are_worked_on_one_after_another_and_few_may_wait() -> None:
    turns, asked = Turns(SMALL, Clock()), asyncio.Event()

    async def slow() -> None:
        async with turns.of("shop/default"):
            asked.set()
            await asyncio.Event().wait()

    first = asyncio.create_task(slow())
    await asked.wait()
    second = asyncio.create_task(ask(turns, "shop/default"))
    await asyncio.sleep(0)
    with pytest.raises(QuotaReached):
        await ask(turns, "shop/default")
    async with turns.operators():
        assert not second.done()
    first.cancel()
    await second
    await ask(turns, "shop/default")


def test_of_indices_the_nearest_below_is_found_and_no_more_are_kept_than_there_is_room_for() -> None:
    memory = Memory(most=2, places=10)
    for position in (10, 20, 30):
        memory.passes(Remembered(position, b"h", {}))
    assert (len(memory), memory.nearest(15), memory.nearest(25).position) == (2, NOTHING, 20)
    memory.passes(Remembered(40, b"h", {}))  # 30 was longest of no use
    assert [memory.nearest(each).position for each in (39, 40)] == [20, 40]
    memory.ends_at(Remembered(25, b"h", {}))
    assert [memory.nearest(each).position for each in (24, 39, 40)] == [20, 25, 40]
    memory.forget(memory.nearest(40))
    memory.forget(memory.nearest(39))
    assert memory.nearest(99).position == 20
