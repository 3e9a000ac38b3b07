"""The clock of the composition root: everything below it is told the time."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Nanoseconds since the epoch."""

SECOND = 1_000_000_000


def now() -> int:
    """Nanoseconds since the epoch, by the machine's clock."""
    return time.time_ns()
