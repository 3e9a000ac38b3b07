"""How long this gateway may forward without a word from the control plane."""

import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path

Clock = Callable[[], float]
"""Seconds that only ever pass; none of them is skipped while the machine sleeps."""


KEEP_SECONDS = 1.0
"""What is written down may be so much older than what was heard; it errs on the safe side."""


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
        self._kept = -inf
        self.heard, self.after = self._recorded(after)
        self._closed = False

    @property
    def up(self) -> bool:
        return self._closed or self.remaining <= 0

    @property
    def remaining(self) -> float:
        """Seconds until it goes up by itself."""
        return self.heard + self.after - self._clock()

    def now(self) -> float:
        return self._clock()

    def hear(self, asked_at: float) -> None:
        """The control plane has answered what was asked then, and counts us as a member."""
        self._closed = False
        self.heard = max(self.heard, asked_at)
        if self._record is not None and self.heard - self._kept >= KEEP_SECONDS:
            self._keep(self._record)

    def close(self) -> None:
        """The control plane does not want this gateway to forward: up until it is heard again."""
        self._closed = True

    def _recorded(self, after: float) -> tuple[float, float]:
        now = self._clock()
        with suppress(OSError, ValueError):
            if self._record is not None:
                heard, recorded_after = map(float, self._record.read_text().split())
                if heard <= now:
                    return heard, recorded_after
        return now, after

    def _keep(self, record: Path) -> None:
        self._kept = self.heard
        with suppress(OSError):  # a full disk must not end the agent; without a record, a restart counts as word
            part = record.with_name(record.name + ".part")
            part.write_text(f"{self.heard} {self.after}\n")
            part.replace(record)
