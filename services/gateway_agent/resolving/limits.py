"""How many questions are answered in a second, and how much time they take of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, thread_time


class Rate:
    """So many in a second, and a second's worth at once. `now` is in seconds, and never goes back."""

    def __init__(self, per_second: int) -> None:
        self._per_second = self._left = float(per_second)
        self._at = 0.0

    def admits(self, now: float) -> bool:
        """Takes one, if there is one."""
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Share:
    """So much of the time; of what was not used, a second's at once. `now` is in seconds, and never goes back."""

    def __init__(self, of_each_second: float) -> None:
        self._of_each_second = self._left = of_each_second
        self._at = 0.0

    def left(self, now: float) -> float:
        """Seconds; below zero is what is missing."""
        self._left = min(self._of_each_second, self._left + (now - self._at) * self._of_each_second)
        self._at = now
        return self._left

    def spend(self, seconds: float) -> None:
        """What was too much is missing later."""
        self._left -= seconds


class Shares:
    """Several that the same work is taken from: of one VPC's, and of all together."""

    def __init__(self, *shares: Share) -> None:
        self._shares: Sequence[Share] = shares

    def are_left(self) -> bool:
        now = monotonic()
        return min(share.left(now) for share in self._shares) > 0

    def spend(self, seconds: float) -> None:
        for share in self._shares:
            share.spend(seconds)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Takes from each what the block takes of the processor."""
        began = thread_time()
        try:
            yield
        finally:
            self.spend(thread_time() - began)
