"""How often something may happen: a bucket of tokens for each of many, and no more buckets than are worth keeping."""

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_BUCKETS = 10_000
BURST, EVERY_SECONDS = 20, 3.0
"""Failed attempts to prove oneself with one access key from one address: more are refused unseen."""


class Buckets:
    """`burst` at once, and one more every `every` seconds, for each key. The key longest unused is forgotten."""

    def __init__(self, burst: int, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._every, self._clock = float(burst), every, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> bool:
        """Takes one, if there is one left."""
        left = self._filled(key)
        self._keep(key, left - 1 if left >= 1 else left)
        return left >= 1

    def empty(self, key: str) -> bool:
        """Whether none is left; takes none."""
        return self.left(key) < 1

    def left(self, key: str) -> float:
        return self._filled(key)

    def _filled(self, key: str) -> float:
        left, at = self._left.get(key, (self._burst, self._clock()))
        return min(self._burst, left + (self._clock() - at) / self._every)

    def _keep(self, key: str, left: float) -> None:
        self._left[key] = (left, self._clock())
        self._left.move_to_end(key)
        if len(self._left) > MOST_BUCKETS:
            self._left.popitem(last=False)
