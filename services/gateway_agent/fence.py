"""How long this gateway may forward without a word from the control plane."""

import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path

Clock = Callable[[], float]
"""Seconds that only ever pass; none of them is skipped while the machine sleeps."""


def boottime() -> float:
    """Seconds since the machine started, those in which it was suspended included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Fence:
    """Up when the control plane has not been heard for `after` seconds.

    A renewal counts from when it was asked for: the control plane, which counts from when it answered, frees nothing
    before this gateway has stopped. `record`, a file that a restart of the machine may lose, makes a restart of the
    agent no renewal.
    """

    def __init__(self, clock: Clock, after: float, record: Path | None = None) -> None:
        self._clock = clock
        self._record = record
        self.after = after
        self.heard = self._recorded()

    @property
    def up(self) -> bool:
        return self.remaining <= 0

    @property
    def remaining(self) -> float:
        """Seconds until it goes up."""
        return self.heard + self.after - self._clock()

    def now(self) -> float:
        return self._clock()

    def hear(self, asked_at: float) -> None:
        """The control plane has answered what was asked then, and counts us as a member."""
        if asked_at > self.heard:
            self.heard = asked_at
            self._keep()

    def close(self) -> None:
        """The control plane does not want this gateway to forward: up until it is heard again."""
        self.heard = -inf

    def _recorded(self) -> float:
        now = self._clock()
        with suppress(OSError, ValueError):
            if self._record is not None and (heard := float(self._record.read_text())) <= now:
                return heard
        return now

    def _keep(self) -> None:
        if self._record is not None:
            part = self._record.with_name(self._record.name + ".part")
            part.write_text(f"{self.heard}\n")
            part.replace(self._record)
