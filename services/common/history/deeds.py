"""What has happened, read from a log: a page of it, newest or oldest first, as those are told of it who may know."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.common.eventsourcing.snapshots import PastStore
from services.common.eventsourcing.store import RecordedEvent
from services.common.watching.sight import Sight

WINDOW = 1000
SCAN = 20_000
"""Events that are looked at for one page, at most: about a tenth of a second of reading."""


class Happening(NamedTuple):
    """An event in a word, and the resource that it is about."""

    what: str
    kind: str
    id: str
    name: str = ""


HappeningsOf = Callable[[RecordedEvent], Sequence[Sight[Happening]]]
"""What an event tells, and whom. To operators everything is told."""


class Deed(NamedTuple):
    """An event, and what of it somebody is told."""

    event: RecordedEvent
    told: Happening


@dataclass(frozen=True, slots=True)
class Sought:
    """What somebody wishes to read of a log, and may. `needles` are bytes that an event has somewhere if it fits: most
    events are passed over without being read. `fits` decides.
    """

    audience: str
    kind: str = ""
    id: str = ""
    needles: tuple[bytes, ...] = ()
    fits: Callable[[RecordedEvent], bool] = lambda _: True

    def of(self, events: Sequence[RecordedEvent], happenings: HappeningsOf) -> Iterator[Deed]:
        for event in events:
            if all(each in event.data or each in event.meta for each in self.needles) and self.fits(event):
                for sight in happenings(event):
                    if self._is_told(sight):
                        yield Deed(event, sight.change)

    def _is_told(self, sight: Sight[Happening]) -> bool:
        if self.audience not in sight.audience:
            return False
        return self.kind in ("", sight.kind) and self.id in ("", sight.id)


class Page(NamedTuple):
    """`onward` is the position that the next page begins at; 0 where there is none. `looked` counts events.

    The event before `onward`, in the order of the page, was recorded at `reached_at`.
    """

    deeds: Sequence[Deed]
    onward: int
    looked: int
    reached_at: int = 0


async def page(
    store: PastStore,
    happenings: HappeningsOf,
    sought: Sought,
    span: tuple[int, int],
    size: int,
    *,
    oldest_first: bool,
    spend: Callable[[int], None] = lambda _: None,
) -> Page:
    """Of the positions `span` (both ends included) what is sought: so many deeds at most, of SCAN events at most.

    All that is told of one event is on one page. `spend` is told of events before they are looked at: who goes away
    while they are pays for them, too.
    """
    low, high = span
    found, looked, reached_at = list[Deed](), 0, 0
    while low <= high and looked < SCAN:
        count = min(WINDOW, high - low + 1)
        after = low - 1 if oldest_first else high - count
        spend(count)
        events = await store.read(after, count)
        ordered = events if oldest_first else events[::-1]
        looked += len(events)
        reached_at = ordered[-1].recorded_at if ordered else reached_at
        found += await asyncio.to_thread(_all_of, sought, ordered, happenings)
        low, high = (low + count, high) if oldest_first else (low, high - count)
        if len(found) >= size:
            shown = found[:size]
            last = shown[-1].event
            shown += [each for each in found[size:] if each.event.position == last.position]
            return Page(shown, _onward(last.position, span, oldest_first=oldest_first), looked, last.recorded_at)
    return Page(found, (low if oldest_first else high) if low <= high else 0, looked, reached_at)


def _all_of(sought: Sought, events: Sequence[RecordedEvent], happenings: HappeningsOf) -> list[Deed]:
    return list(sought.of(events, happenings))


def _onward(last: int, span: tuple[int, int], *, oldest_first: bool) -> int:
    low, high = span
    if oldest_first:
        return last + 1 if last < high else 0
    return last - 1 if last > low else 0
