"""How much is measured: the whole, or a quick look."""

from collections.abc import Callable
from dataclasses import dataclass

Step = Callable[[str], None]
"""Told what is measured next."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`seconds` is the length of one measurement, `samples` how many commands each latency is taken of.

    `events` is how long a log is that is read, a multiple of 10,000; `endpoints` and `sessions` are how many a full
    data plane has, the memory permitting.
    """

    rounds: int
    seconds: float
    samples: int
    events: int = 1_000_000
    endpoints: int = 100_000
    sessions: int = 10_000_000

    @classmethod
    def whole(cls, rounds: int = 5) -> "Plan":
        return cls(rounds, seconds=2.0, samples=200)

    @classmethod
    def quick(cls, rounds: int = 1) -> "Plan":
        return cls(rounds, seconds=0.5, samples=10, events=20_000, endpoints=2_000, sessions=100_000)
