"""What the last commands have left: states that need not be made of a stream's events again."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

MOST = 4096
"""Streams whose states are kept."""

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Seen(Generic[S]):
    """A stream's state and version; `continuity` is the store's of before it was read."""

    state: S
    version: int
    continuity: int


class Recent(Generic[S]):
    """The states that were used last."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._seen: OrderedDict[str, Seen[S]] = OrderedDict()

    def get(self, stream: str) -> Seen[S] | None:
        return self._seen.get(stream)

    def keep(self, stream: str, seen: Seen[S]) -> None:
        self._seen[stream] = seen
        self._seen.move_to_end(stream)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)

    def forget(self, stream: str) -> None:
        self._seen.pop(stream, None)
