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
    """The last ones that were of use."""

    def __init__(self, most: int = MOST, places: int = MOST_PLACES) -> None:
        self._most, self._places = most, places
        self._kept: dict[int, Remembered] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def nearest(self, position: int) -> Remembered:
        """At or below the position; before the first event where none is."""
        below = [each for each in self._kept if each <= position]
        if not below:
            return NOTHING
        found = self._kept.pop(max(below))
        self._kept[found.position] = found
        return found

    def keep(self, index: Remembered) -> None:
        self._kept.pop(index.position, None)
        self._kept[index.position] = index
        while len(self._kept) > 1 and (len(self._kept) > self._most or self._size() > self._places):
            del self._kept[next(iter(self._kept))]

    def forget(self, index: Remembered) -> None:
        self._kept.pop(index.position, None)

    def _size(self) -> int:
        return sum(len(each.there) for each in self._kept.values())
