"""Indices of the past that are kept in memory: so many, and of so many resources, that a slider can be dragged."""

from typing import NamedTuple

from services.common.history.index import Index

MOST = 32
MOST_PLACES = 400_000
"""Resources in all indices that are kept, beside the last: about 40 MB, for they share what they say of each."""


class Remembered(NamedTuple):
    """An index, the position that it is of, and the log's hash there."""

    position: int
    hash: bytes
    there: Index


NOTHING = Remembered(0, b"", {})


class Memory:
    """The last one that was asked for, and, of those that were passed on the way, the last that were of use."""

    def __init__(self, most: int = MOST, places: int = MOST_PLACES) -> None:
        self._most, self._places = most, places
        self._kept: dict[int, Remembered] = {}
        self._last = NOTHING

    def __len__(self) -> int:
        return len(self._kept)

    def nearest(self, position: int) -> Remembered:
        """At or below the position; before the first event where none is."""
        below = [each for each in self._kept if each <= position]
        found = self._kept[max(below)] if below else NOTHING
        if found.position < self._last.position <= position:
            return self._last
        if below:
            self._kept[found.position] = self._kept.pop(found.position)
        return found

    def ends_at(self, index: Remembered) -> None:
        self._last = index

    def passes(self, index: Remembered) -> None:
        self._kept.pop(index.position, None)
        self._kept[index.position] = index
        while len(self._kept) > self._most or self._size() > self._places:
            del self._kept[next(iter(self._kept))]

    def forget(self, index: Remembered) -> None:
        self._kept.pop(index.position, None)
        if self._last.position == index.position:
            self._last = NOTHING

    def _size(self) -> int:
        return sum(len(each.there) for each in self._kept.values())
