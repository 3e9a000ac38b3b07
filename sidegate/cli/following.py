"""The logs, followed record by record, each held against the one before."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from sidegate.api.events.v1.log_pb2 import FollowLogResponse, LogRecord
from sidegate.cli import chronicle
from sidegate.cli.chronicle import Deed
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.session import Session
from sidegate.cli.streaming import Line, lines_of
from sidegate.evidence import ORIGIN, Link, Verifier
from sidegate.proof import recorded
from sidegate.resources.logs import LogName
from sidegate.watching import Place

TITLES = dict(zip(chronicle.TITLES, (19, 20, 28, 48, 24, 8, 8), strict=True))
MORE = dict.fromkeys(chronicle.WIDE_TITLES, 0)

AHEAD = 1000
"""Lines of one log that may wait for their turn."""


async def lines(session: Session, logs: Sequence[LogName], after: int | None) -> AsyncGenerator[Line, None]:
    """What is appended to the logs, as it comes. Raises Complaint where a record does not fit the one before."""
    queue: asyncio.Queue[Line | Exception] = asyncio.Queue(AHEAD)
    tasks = [asyncio.create_task(_gather(session, log, after, queue)) for log in logs]
    try:
        while True:
            found = await queue.get()
            if isinstance(found, Exception):
                raise found
            yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _gather(session: Session, log: LogName, after: int | None, queue: "asyncio.Queue[Line | Exception]") -> None:
    with suppress(asyncio.CancelledError):
        try:
            async for line in _follow(session, log, after):
                await queue.put(line)
        except Exception as error:  # whoever prints the lines raises it
            await queue.put(error)


async def _follow(session: Session, log: LogName, after: int | None) -> AsyncGenerator[Line, None]:
    source = session.sidegate.audit.log(log)
    head = await source.head()
    begin = head.position if after is None else after
    verifier = Verifier(head.log_id, await _link(session, log, begin, Link(head.position, head.hash)))

    def read(answer: FollowLogResponse) -> list[Line]:
        return [_line(log, verifier, record) for record in answer.records]

    place = Place(begin, head.log_id, head.epoch)
    async for line in lines_of(f"the {log}'s log", lambda told: source.follow(after=place, interrupted=told), read):
        yield line


async def _link(session: Session, log: LogName, position: int, head: Link) -> Link:
    """The place in the chain at a position, as the log has it now."""
    if position == 0:
        return ORIGIN
    if position < head.position:
        async for record in session.sidegate.audit.log(log).read(position - 1, position):
            return Link(record.position, record.hash)
    return head


def _line(log: LogName, verifier: Verifier, record: LogRecord) -> Line:
    if fault := verifier.follow(recorded(record)):
        raise Complaint(f"the {log}'s log does not verify: {fault}", Exit.NO)
    deed = Deed.of(log, record)
    cells = deed.row(wide=True)
    return Line(deed.facts, cells[: len(TITLES)], cells[len(TITLES) :])
