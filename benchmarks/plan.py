"""How much is measured: the whole, or a quick look."""

from collections.abc import Callable
from dataclasses import dataclass

Step = Callable[[str], None]
"""Told what is measured next."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`seconds` is the length of one measurement, `samples` how many commands each latency is taken of."""

    rounds: int
    seconds: float
    samples: int

    @classmethod
    def whole(cls, rounds: int = 5) -> "Plan":
        return cls(rounds, seconds=2.0, samples=200)

    @classmethod
    def quick(cls, rounds: int = 1) -> "Plan":
        return cls(rounds, seconds=0.5, samples=10)
