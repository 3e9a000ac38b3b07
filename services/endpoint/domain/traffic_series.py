"""What has passed over time: rings of samples, as many as there is room for. Pure."""

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.endpoint.domain.refusals import Cause, Refused
from services.endpoint.domain.traffic import MOST, NOTHING, Passed

SECOND = 1_000_000_000
COLUMNS = len(Passed._fields)
QUIET = 600 * SECOND
"""Who has been quiet for so long gives way to another."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What passed in one step; `sessions` is how many there were at its end."""

    sessions: int = 0
    passed: Passed = NOTHING
    refused: Refused = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Series:
    """Samples without a gap; the last one has not ended yet. Times are in nanoseconds since the epoch."""

    start: int
    step: int
    samples: Sequence[Sample] = ()


class Ring:
    """The newest `size` samples of `step` nanoseconds each, 48 bytes a sample, and 8 for each cause of refusals."""

    __slots__ = ("_first", "_newest", "_passed", "_refused", "_sessions", "_size", "step")

    def __init__(self, step: int, size: int, now: int, sessions: int = 0) -> None:
        self.step, self._size = step, size
        self._first = self._newest = now // step
        self._passed = array("Q", bytes(8 * COLUMNS * size))
        self._sessions = array("Q", bytes(8 * size))
        self._refused: dict[Cause, array[int]] = {}
        self._sessions[self._newest % size] = sessions

    def add(self, now: int, passed: Passed, refused: Refused, sessions: int) -> None:
        self._advance(now)
        place = self._newest % self._size
        for column, more in enumerate(passed, place * COLUMNS):
            self._passed[column] = min(MOST, self._passed[column] + more)
        for cause, more in refused.items():
            counts = self._refused.setdefault(cause, array("Q", bytes(8 * self._size)))
            counts[place] = min(MOST, counts[place] + more)
        self._sessions[place] = sessions

    def read(self, now: int) -> Series:
        self._advance(now)
        first = max(self._first, self._newest - self._size + 1)
        samples = [self._at(bucket % self._size) for bucket in range(first, self._newest + 1)]
        return Series(first * self.step, self.step, samples)

    def _at(self, place: int) -> Sample:
        passed = Passed(*self._passed[place * COLUMNS : (place + 1) * COLUMNS])
        refused = {cause: counts[place] for cause, counts in self._refused.items() if counts[place]}
        return Sample(self._sessions[place], passed, refused)

    def _advance(self, now: int) -> None:
        """To the step of this moment; an earlier one (the clock was set back) counts in the newest."""
        wanted = now // self.step
        sessions = self._sessions[self._newest % self._size]
        for bucket in range(max(self._newest + 1, wanted - self._size + 1), wanted + 1):
            place = bucket % self._size
            self._passed[place * COLUMNS : (place + 1) * COLUMNS] = array("Q", bytes(8 * COLUMNS))
            self._sessions[place] = sessions
            for counts in self._refused.values():
                counts[place] = 0
        self._newest = max(self._newest, wanted)


SPANS: Mapping[str, tuple[int, int]] = {"fine": (5 * SECOND, 120), "coarse": (60 * SECOND, 180)}
"""Ten minutes by 5 seconds, three hours by the minute."""


class Rings:
    """One for each span."""

    __slots__ = ("by_span", "heard")

    def __init__(self, now: int, sessions: int) -> None:
        self.by_span = {span: Ring(step, size, now, sessions) for span, (step, size) in SPANS.items()}
        self.heard = now

    def add(self, now: int, passed: Passed, refused: Refused, sessions: int) -> None:
        self.heard = now
        for ring in self.by_span.values():
            ring.add(now, passed, refused, sessions)


class Room:
    """Rings by id, for as many as there may be. Who is there stays, until it has been quiet and another is not."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rings: OrderedDict[str, Rings] = OrderedDict()  # who has been quiet for the longest is the first

    def __len__(self) -> int:
        return len(self._rings)

    def add(self, id_: str, now: int, passed: Passed, refused: Refused, sessions: int) -> None:
        """`sessions` is how many there are after it."""
        rings = self._rings.get(id_)
        if rings is None:
            if not self._has_room(now):
                return
            rings = self._rings[id_] = Rings(now, sessions)
        self._rings.move_to_end(id_)
        rings.add(now, passed, refused, sessions)

    def read(self, id_: str, span: str, now: int) -> Series:
        """Without samples where there was no room, or nothing was seen."""
        rings = self._rings.get(id_)
        return rings.by_span[span].read(now) if rings else Series(now, SPANS[span][0])

    def forget(self, id_: str) -> None:
        self._rings.pop(id_, None)

    def ids(self) -> Iterator[str]:
        return iter(self._rings)

    def _has_room(self, now: int) -> bool:
        if len(self._rings) < self._most:
            return True
        if not self._rings:
            return False
        longest, rings = next(iter(self._rings.items()))
        if now - rings.heard < QUIET:
            return False
        del self._rings[longest]
        return True
