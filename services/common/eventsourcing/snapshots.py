"""Snapshots of what was made of a log, so that no question about its past has to begin at the first event."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from services.common.eventsourcing.store import EventStore, RecordedEvent


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the log comes to at a position; `hash` is the log's there, `reducer` the version of the rules it is by."""

    position: int
    reducer: int
    hash: bytes
    data: bytes


class Kept(NamedTuple):
    """A snapshot that is there, without its data."""

    position: int
    reducer: int


class PastStore(EventStore, Protocol):
    """An event store that keeps snapshots. They answer nothing that the events do not: all may go at any moment."""

    async def snapshot(self, reducer: int, position: int) -> Snapshot | None:
        """The nearest one at or below the position that was made by this version of the rules."""

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keeps it, in place of any other at its position."""

    async def snapshots(self) -> Sequence[Kept]:
        """Those that are kept, in order of position."""

    async def drop_snapshots(self, positions: Collection[int]) -> None:
        """Forgets those at these positions."""

    async def events_at(self, positions: Collection[int]) -> Sequence[RecordedEvent]:
        """The events at these positions, some hundreds at most, in order; those that are not there are left out."""
