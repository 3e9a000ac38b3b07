"""Random histories until the time is over; one in which program and model part is made shorter, and told."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from random import Random

from tests.support.chaos.run import dice
from tests.support.differential import Bench
from tests.support.differential_histories import history
from tests.support.differential_steps import Step

SHORTENING_SECONDS = 30.0

Fails = Callable[[Sequence[Step]], Exception | None]


def run(bench: Bench, runner: asyncio.Runner, seconds: float) -> int:
    """Gives how many histories there were. Raises AssertionError with a short one that fails, if one does."""

    def failure(steps: Sequence[Step]) -> Exception | None:
        try:
            runner.run(bench.play(steps))
        except Exception as error:
            return error
        return None

    chance, ends, done = dice(), time.monotonic() + seconds, 0
    while not done or time.monotonic() < ends:
        steps = history(Random(chance.getrandbits(32)))
        first = failure(steps)
        if first is not None:
            short = shortened(steps, failure, time.monotonic() + SHORTENING_SECONDS)
            script = "".join(f"    {told(step)},\n" for step in short)
            raise AssertionError(f"program and model part after\n{script}") from (failure(short) or first)
        done += 1
    return done


def shortened(steps: Sequence[Step], fails: Fails, ends: float) -> Sequence[Step]:
    """Without what it takes not to fail: halves of it at first, then ever smaller parts (Zeller's ddmin)."""
    size = len(steps) // 2
    while size and time.monotonic() < ends:
        start = 0
        while start < len(steps) and time.monotonic() < ends:
            without = [*steps[:start], *steps[start + size :]]
            if fails(without) is not None:
                steps = without
            else:
                start += size
        size //= 2
    return steps


def told(step: object) -> str:
    """As Python, without what is as it is by default."""
    if not is_dataclass(step) or isinstance(step, type):
        return repr(step)
    values = ((each, getattr(step, each.name)) for each in fields(step))
    told_ = (f"{each.name}={told(value)}" for each, value in values if value != each.default)
    return f"{type(step).__name__}({', '.join(told_)})"
