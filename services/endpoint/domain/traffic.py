"""Counts of what has passed: what a gateway tells, and what has come since it told before. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import add, sub
from typing import NamedTuple, TypeVar

from services.endpoint.domain.refusals import Cause, Refused

MOST = 2**62
"""No count is larger: what a broken gateway tells must still fit in an answer."""

K = TypeVar("K")


class Passed(NamedTuple):
    """Counts that only grow, as long as what counts is the same. Bytes are those of IP packets."""

    sessions_made: int = 0
    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0

    def __add__(self, more: tuple[int, ...]) -> "Passed":  # type: ignore[override] # of counts, not of tuples
        total = tuple(map(add, self, more))
        return Passed._make(total if max(total) <= MOST else (min(MOST, each) for each in total))


NOTHING = Passed()


@dataclass(frozen=True, slots=True)
class Counted:
    """What one gateway has counted for an endpoint."""

    sessions: int = 0
    passed: Passed = NOTHING
    refused: Refused = field(default_factory=dict)

    @property
    def is_nothing(self) -> bool:
        return not (self.sessions or any(self.passed) or self.refused)


UNCOUNTED = Counted()


def since(before: Counted, now: Counted) -> tuple[Passed, dict[Cause, int]]:
    """What has come meanwhile, and what was refused. Where a count went back, all that there is has come since."""
    more = tuple(map(sub, now.passed, before.passed))
    if min(more) < 0:
        return now.passed, dict(now.refused)
    return Passed._make(more) if any(more) else NOTHING, refused_since(before.refused, now.refused)


def refused_since(before: Mapping[K, int], now: Mapping[K, int]) -> dict[K, int]:
    """By reason, each for itself: one that went back has begun anew, and what it has counts from its next word on."""
    if before == now:
        return {}
    found = {reason: number - before.get(reason, 0) for reason, number in now.items()}
    return {reason: more for reason, more in found.items() if more > 0}
