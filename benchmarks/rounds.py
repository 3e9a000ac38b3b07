"""Rounds in which ways to a server take turns, each on a stage of its own, and the figures that come of them."""

import os
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence

from benchmarks.figures import Figure, compare
from benchmarks.plan import Step
from benchmarks.processes import Failed
from benchmarks.stage import Way

ENDPOINT = "an endpoint"
"""The way that the others are compared with."""

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

Numbers = Mapping[str, float]
Measure = Callable[[Way], Awaitable[Numbers]]


class Rounds:
    """What each way had in each round; nothing where its case failed."""

    def __init__(self, ways: Mapping[str, Way], measure: Measure) -> None:
        self.numbers: dict[str, list[Numbers | None]] = defaultdict(list)
        self.failures: list[str] = []
        self._ways, self._measure = ways, measure

    async def take_all(self, rounds: int, step: Step) -> None:
        ways = list(self._ways.items())
        for number in range(rounds):
            first = number % len(ways)
            for name, way in ways[first:] + ways[:first]:
                step(f"round {number + 1}: {name}")
                await self._take(name, way)
        for failure in self.failures:
            print(f"bench: a case failed and does not count: {failure}", file=sys.stderr)

    async def _take(self, name: str, way: Way) -> None:
        """One case; a second one if that failed."""
        for _ in range(2):
            try:
                self.numbers[name].append(await self._measure(way))
            except Failed as failure:
                self.failures.append(f"{name}: {failure}")
            else:
                return
        self.numbers[name].append(None)

    def all_figures(self, units: Mapping[str, str], method: Callable[[str], str]) -> Sequence[Figure]:
        """Each figure beside each other way. Raises Failed where a way never worked."""
        others = [way for way in self._ways if way != ENDPOINT]
        made = [figure for name in units for other in others for figure in self._beside(name, other, units, method)]
        if len(made) < len(units) * len(others):
            raise Failed(f"a way to the server never worked: {'; '.join(self.failures)}")
        return made

    def _beside(
        self, name: str, other: str, units: Mapping[str, str], method: Callable[[str], str]
    ) -> Sequence[Figure]:
        both = zip(self.numbers[ENDPOINT], self.numbers[other], strict=True)
        pairs = [(ours[name], theirs[name]) for ours, theirs in both if ours and theirs]
        if not pairs:
            return []
        ours, theirs = zip(*pairs, strict=True)
        return [compare(name, ours, units[name], method=f"{method(name)}.", other=other, theirs=theirs)]
