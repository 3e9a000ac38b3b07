"""How many questions are answered in a second, and how much time they take of it. Pure."""


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

    def is_left(self, now: float) -> bool:
        self._left = min(self._of_each_second, self._left + (now - self._at) * self._of_each_second)
        self._at = now
        return self._left > 0

    def spend(self, seconds: float) -> None:
        """What was too much is missing later."""
        self._left -= seconds
