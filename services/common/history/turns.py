"""Who may ask of the past, and how much: a question costs the fold of events, so that a project has only so many."""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.common.errors import QuotaReached

MOST_PURSES = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a project may have looked at, in events: `burst` at once, and `per_second`. A question is `least` at least.

    `in_line` questions of a project may wait for the one before; `at_once` are worked on of all projects, and as many
    again of the operator's.
    """

    burst: float = 200_000
    per_second: float = 10_000
    least: float = 1_000
    in_line: int = 4
    at_once: int = 2


class Turns:
    """Questions of one program's past."""

    def __init__(self, allowance: Allowance | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowance, self._clock = allowance or Allowance(), clock
        self._operators, self._projects = (asyncio.Semaphore(self._allowance.at_once) for _ in range(2))
        self._alone: dict[str, asyncio.Lock] = {}
        self._waiting = Counter[str]()
        self._purses: OrderedDict[str, tuple[float, float]] = OrderedDict()

    @asynccontextmanager
    async def operators(self) -> AsyncIterator[None]:
        """While one of the operator's questions is worked on."""
        async with self._operators:
            yield

    @asynccontextmanager
    async def projects(self) -> AsyncIterator[None]:
        """While one of a project's is, and not while its answer waits for whoever reads it: he would hold up others."""
        async with self._projects:
            yield

    @asynccontextmanager
    async def of(self, project: str) -> AsyncIterator[None]:
        """A project's turn: one question at a time. Raises QuotaReached where it has asked too much."""
        self._require(project)
        if self._waiting[project] > self._allowance.in_line:
            raise _refused(project, 1.0)
        self._waiting[project] += 1
        try:
            async with self._alone.setdefault(project, asyncio.Lock()):
                self._require(project)
                self.pay(project, self._allowance.least)
                yield
        finally:
            self._waiting[project] -= 1
            if not self._waiting[project]:
                del self._waiting[project], self._alone[project]

    def pay(self, project: str, events: float) -> None:
        """Takes what a question has cost: it may be more than there is left, and is then paid off by waiting."""
        self._purses[project] = (self._left(project) - events, self._clock())
        self._purses.move_to_end(project)
        if len(self._purses) > MOST_PURSES:
            self._purses.popitem(last=False)

    def _require(self, project: str) -> None:
        if (missing := self._allowance.least - self._left(project)) > 0:
            raise _refused(project, missing / self._allowance.per_second)

    def _left(self, project: str) -> float:
        left, at = self._purses.get(project, (self._allowance.burst, self._clock()))
        return min(self._allowance.burst, left + (self._clock() - at) * self._allowance.per_second)


def _refused(project: str, seconds: float) -> QuotaReached:
    wait = max(1, round(seconds + 0.5))
    text = f"project {project} has asked of the past as much as it may for now: ask again in {wait} s"
    return QuotaReached("TOO_MANY_QUESTIONS", text, metadata={"retry_seconds": str(wait)})
