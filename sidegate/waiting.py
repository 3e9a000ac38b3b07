"""Waiting for a resource to become what is wanted."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sidegate import errors

FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5
IN_VAIN = "WAITED_IN_VAIN"

R = TypeVar("R")


async def until(get: Callable[[], Awaitable[R]], wanted: Callable[[R], bool], within: float) -> R:
    """Asks, with growing pauses, until the answer is wanted. Raises TimedOut after as many seconds."""
    deadline, pause = time.monotonic() + within, FIRST_PAUSE_SECONDS
    while not wanted(answer := await get()):
        if time.monotonic() + pause > deadline:
            raise errors.TimedOut(f"not there yet after {within:g} s of waiting", reason=IN_VAIN)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
    return answer
