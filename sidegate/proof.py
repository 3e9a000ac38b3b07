"""A live log, followed from a place that is trusted to its head: whether its chain says what it said."""

from collections.abc import Callable

from sidegate.api.events.v1.log_pb2 import LogRecord
from sidegate.evidence import Fault, Flaw, Link, RecordedEvent, Verdict, Verifier
from sidegate.resources.logs import Log

TELL_EVERY = 1000
"""Positions between two words of how far it is."""


async def follow(log: Log, head: Link, verifier: Verifier, tell: Callable[[int], None]) -> Verdict:
    """Reads all records from where the verifier begins to `head`, or to the first that does not fit.

    Raises SidegateError.
    """
    if head.position > (after := verifier.verdict.head.position):
        async for record in log.read(after, head.position):
            if record.position % TELL_EVERY == 0:
                tell(record.position)
            if verifier.follow(recorded(record)):
                break
    return concluded(verifier.end(), head)


def concluded(verdict: Verdict, head: Link) -> Verdict:
    """The verdict at the end, once the place that was reached is held against the head that was promised."""
    if not verdict.ok or verdict.head == head:
        return verdict
    text = f"the log ends at position {verdict.head.position}, its head is at {head.position} with another hash"
    return Verdict(verdict.log_id, verdict.head, verdict.count, Fault(verdict.head.position + 1, Flaw.POSITION, text))


def recorded(record: LogRecord) -> RecordedEvent:
    """A record as the chain is made of it."""
    return RecordedEvent(
        record.position,
        record.stream,
        record.version,
        record.event_id,
        record.type,
        record.schema_version,
        record.recorded_at,
        record.partition,
        record.prev,
        record.data,
        record.meta,
        record.hash,
    )
