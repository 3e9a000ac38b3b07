"""The numbers by which this gateway knows VPCs, services and endpoints. Pure."""

import heapq
from collections.abc import Iterable

from services.gateway_agent.dataplane.port import DataplaneError


class Numbers:
    """Small numbers from 1, the lowest free one first. They are used again: epochs and versions only ever rise."""

    def __init__(self, what: str, end: int, used: Iterable[int] = ()) -> None:
        taken = set(used)
        self._what, self._end = what, end
        self._next = max(taken, default=0) + 1
        self._free = [number for number in range(1, self._next) if number not in taken]
        self._resting: list[int] = []

    @property
    def only_resting(self) -> bool:
        """Whether there is none to take before `wake`."""
        return not self._free and self._next >= self._end and bool(self._resting)

    def take(self) -> int:
        if self._free:
            return heapq.heappop(self._free)
        if self._next >= self._end:
            raise DataplaneError(f"this gateway holds {self._end - 1} {self._what} and no more")
        self._next += 1
        return self._next - 1

    def give_back(self, number: int) -> None:
        heapq.heappush(self._free, number)

    def rest(self, number: int) -> None:
        """Gives back one that is not to be taken before `wake`."""
        self._resting.append(number)

    def wake(self) -> list[int]:
        """Those that have rested."""
        rested, self._resting = self._resting, []
        for number in rested:
            heapq.heappush(self._free, number)
        return rested
