"""What a scenario is: a drawing, a world, steps that end with a table of what was asked and what was answered."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, TypeVar

from tests.system.scenarios.stage import Stage

World = TypeVar("World")


@dataclass(frozen=True)
class Scenario(Generic[World]):
    """`world` builds everything and takes it away; each step is an async function whose docstring is its sentence."""

    name: str
    title: str
    drawing: str
    world: Callable[[Stage], AbstractAsyncContextManager[World]]
    steps: tuple[Callable[[World], Awaitable[None]], ...]


def sentence(step: Callable[..., Awaitable[None]]) -> str:
    assert step.__doc__, f"the step {step} has no sentence"
    return step.__doc__.strip().splitlines()[0]


async def nothing_more(_stage: Stage) -> None:
    """For those who only watch."""


async def play(
    scenario: Scenario[World], stage: Stage, at_the_end: Callable[[Stage], Awaitable[None]] = nothing_more
) -> None:
    """All steps in their order, and what is to be done while everything is still there."""
    record = stage.record
    record.step("The networks are made, and attached to the gateway.")
    async with scenario.world(stage) as world:
        for step in scenario.steps:
            await stage.show_wires()
            record.step(sentence(step))
            await step(world)
        await stage.show_wires()
        await at_the_end(stage)
    record.close()
