"""One run of chaos: its seed, how long it takes, and what it says on the way.

SIDEGATE_CHAOS_SEED repeats a run's choices (not its timing); SIDEGATE_SOAK_SECONDS is how long the long runs take
together.
"""

import asyncio
import os
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

SOAK = float(os.environ.get("SIDEGATE_SOAK_SECONDS", "60"))
SOAKS = 9
"""Long runs that share the time: four of chaos, three of machines against models, two of kills under load.

The soak of a gateway takes as long again by itself."""

SHARE = SOAK / SOAKS
EVERY = 10.0
"""Seconds between two lines about a run's progress."""


def dice() -> random.Random:
    """What a run is decided by; prints the seed that repeats it."""
    seed = int(os.environ.get("SIDEGATE_CHAOS_SEED") or secrets.randbelow(2**32))
    print(f"SIDEGATE_CHAOS_SEED={seed}", flush=True)
    return random.Random(seed)


class Course:
    """How a run goes: seconds so far, what was broken, and figures that whoever runs it has."""

    def __init__(self, seconds: float, figures: Callable[[], str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.seconds = seconds
        self.done: Counter[str] = Counter()
        self.figures = figures

    @property
    def elapsed(self) -> float:
        return self._loop.time() - self._began

    @property
    def over(self) -> bool:
        return self.elapsed >= self.seconds

    def __str__(self) -> str:
        return f"{self.elapsed:.0f} s, {self.figures()}, {self.done.total()} accidents"

    @property
    def accidents(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in sorted(self.done.items()))


@asynccontextmanager
async def told(course: Course) -> AsyncIterator[None]:
    """Prints how the run goes, every ten seconds and at its end."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(EVERY)
            print(f"chaos: {course}", flush=True)

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
        print(f"chaos: at the end {course}: {course.accidents}", flush=True)
