"""From change to change: the marks beside a slider, the change before and after a moment, the first of all."""

import asyncio
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from services.console.past import deeds
from services.console.past.deeds import DONE, Page, Wanted
from services.console.past.wanted import at_nanoseconds
from services.console.sessions.session import Session
from sidegate.resources.history import Sought
from sidegate.resources.logs import LogName

MARKS = 300
"""Of a slider, the newest: more would be a line without a gap."""

LOOKS = 5
"""Pages without anything, after which a step gives up."""


async def marks(session: Session, owner: str, start: Timestamp | None, end: Timestamp | None) -> Page:
    wanted = Wanted(Sought(owner=owner, start=start, end=end), DONE, refusals=not session.is_tenant)
    return await deeds.page(session.client, wanted, deeds.BEGINNING, MARKS)


async def step(session: Session, owner: str, at: Timestamp | None, *, forward: bool) -> Timestamp | None:
    """When the next change was, or the one before; None where there is none."""
    if forward:
        if at is None:
            return None
        sought = Sought(owner=owner, start=at_nanoseconds(at.ToNanoseconds() + 1), oldest_first=True)
    else:
        sought = Sought(owner=owner, end=at)
    found = await _first(session, sought)
    if not found:
        return None
    return min(found, key=_number) if forward else max(found, key=_number)


async def beginning(session: Session, owner: str) -> Timestamp | None:
    """When the first change was that is told of."""
    found = await _first(session, Sought(owner=owner, oldest_first=True))
    return min(found, key=_number) if found else None


async def _first(session: Session, sought: Sought) -> Sequence[Timestamp]:
    """Of each log, the time of the first that fits."""
    found = await asyncio.gather(*(_first_of(session, log, sought) for log in LogName))
    return [each for each in found if each is not None]


async def _first_of(session: Session, log: LogName, sought: Sought) -> Timestamp | None:
    token = ""
    for _ in range(LOOKS):
        page = await session.client.history.deeds(log, sought, 1, token)
        if page.deeds:
            return page.deeds[0].time
        if not (token := page.next_page_token):
            return None
    return None


def _number(time: Timestamp) -> int:
    return time.ToNanoseconds()
