"""How many questions are answered in a second. Pure."""


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
