"""Reading a log so that what one command appended stays together."""

from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import Protocol

from services.common.eventsourcing.store import MAX_EVENTS, Head, RecordedEvent

PAGE = MAX_EVENTS + 1
"""More than one command appends, so that the end of the first one is always in sight."""

Group = Sequence[RecordedEvent]


class GrowingLog(Protocol):
    """What watching asks of an EventStore."""

    async def read(self, after: int, limit: int) -> Sequence[RecordedEvent]: ...
    async def load(self, stream: str) -> Sequence[RecordedEvent]: ...
    async def head(self) -> Head: ...
    async def wait_beyond(self, position: int) -> None: ...


def together(event: RecordedEvent) -> tuple[str, int, bytes]:
    """Events that one command appended have this in common, and stand side by side.

    What else has it in common is two commands to one resource, at one nanosecond, by one principal: told together,
    which splits neither.
    """
    return event.stream, event.recorded_at, event.meta


def whole(page: Sequence[RecordedEvent], *, full: bool) -> list[Group]:
    """The groups of a page. Of a full page the last one may go on beyond it, and is left out."""
    groups: list[Group] = [list(group) for _, group in groupby(page, together)]
    return groups[:-1] if full else groups


async def read_groups(log: GrowingLog, after: int) -> list[Group]:
    """The next groups above a position: none at the end of the log. A reader never sees a part of an append."""
    limit = PAGE
    while True:
        page = await log.read(after, limit)
        groups = whole(page, full=len(page) == limit)
        if groups or not page:
            return groups
        limit *= 2


async def follow_groups(log: GrowingLog, after: int) -> AsyncIterator[Group]:
    """The groups above a position, for ever."""
    while True:
        await log.wait_beyond(after)
        for group in await read_groups(log, after):
            yield group
            after = group[-1].position
