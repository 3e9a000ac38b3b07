"""When to try again what failed: key by key, later after each failure."""

import heapq
from math import inf

from services.gateway_agent.table import Key


class Retries:
    """Waits `floor` seconds after the first failure of a key, then twice as long each time, up to `cap`."""

    def __init__(self, floor: float, cap: float) -> None:
        self._floor, self._cap = floor, cap
        self._delays: dict[Key, float] = {}
        self._queue: list[tuple[float, Key]] = []

    def __contains__(self, key: Key) -> bool:
        return key in self._delays

    def failed(self, key: Key, now: float) -> bool:
        """Says whether it is the first failure of the key."""
        before = self._delays.get(key)
        self._delays[key] = self._floor if before is None else min(self._cap, before * 2)
        heapq.heappush(self._queue, (now + self._delays[key], key))
        return before is None

    def succeeded(self, key: Key) -> bool:
        """Says whether it had failed before."""
        return self._delays.pop(key, None) is not None

    def due(self, now: float) -> list[Key]:
        """The keys to try again."""
        keys = []
        while self._queue and self._queue[0][0] <= now:
            keys.append(heapq.heappop(self._queue)[1])
        return [key for key in keys if key in self._delays]

    def wait(self, now: float) -> float:
        """Seconds until the next is due."""
        return max(0.0, self._queue[0][0] - now) if self._queue else inf
