"""The rules of a log, without a database: which appends it takes, and what they make of it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from services.common.eventsourcing.holdings import Holdings
from services.common.eventsourcing.store import (
    GENESIS,
    AnyVersion,
    Append,
    Appended,
    Conflict,
    Exact,
    Expected,
    NoStream,
    RecordedEvent,
    RequestKey,
    RequestReused,
    StreamExists,
)
from sidegate.evidence import link_hash


class Tail(NamedTuple):
    """The last event of a log, as far as the next one needs it."""

    position: int = 0
    hash: bytes = GENESIS
    recorded_at: int = 0


EMPTY = Tail()


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that has been answered, and with what."""

    command_hash: bytes
    appended: Appended

    def again(self, command_hash: bytes) -> Appended:
        """The first answer; raises RequestReused if it was given to another command."""
        if command_hash != self.command_hash:
            raise RequestReused("the request id has been used for another command")
        return replace(self.appended, replayed=True)


@dataclass(slots=True)
class Ledger:
    """The state of a log that appends are checked against: all of it, or as much as the appends at hand name.

    `recorded` gathers the events of the appends that were taken, `answered` is by request.
    """

    log_id: str
    tail: Tail = EMPTY
    versions: dict[str, int] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)
    requests: dict[RequestKey, Answered] = field(default_factory=dict)
    holdings: Holdings = field(default_factory=Holdings)
    recorded: list[RecordedEvent] = field(default_factory=list)

    def append(self, append: Append) -> Appended:
        """Takes all of an append or, raising, none of it."""
        if append.request is not None and (first := self.requests.get(append.request.key)) is not None:
            return first.again(append.request.command_hash)
        version = self.versions.get(append.stream, 0)
        _require_version(append.stream, append.expected, version)
        events = self._link(append, version)
        if append.trial:
            Holdings(dict(self.holdings.claims), dict(self.holdings.counters)).apply(append.stream, append.constraints)
            return Appended(self.tail.position, version + len(events), b"")
        self.holdings.apply(append.stream, append.constraints)
        self._record(events)
        return self._answer(append, version + len(events))

    def _link(self, append: Append, version: int) -> Sequence[RecordedEvent]:
        position, hash_, before = self.tail
        recorded_at = max(append.at, before)
        prev = self.partitions.get(append.partition, 0)
        linked: list[RecordedEvent] = []
        for number, new in enumerate(append.events, 1):
            event = RecordedEvent(
                position=position + number,
                stream=append.stream,
                version=version + number,
                event_id=uuid.uuid4().bytes,
                type=new.type,
                schema_version=new.schema_version,
                recorded_at=recorded_at,
                partition=append.partition,
                prev=prev,
                data=new.data,
                meta=append.meta,
                hash=b"",
            )
            hash_, prev = link_hash(self.log_id, hash_, event), event.position
            linked.append(event._replace(hash=hash_))
        return linked

    def _record(self, events: Sequence[RecordedEvent]) -> None:
        if not events:
            return
        last = events[-1]
        self.tail = Tail(last.position, last.hash, last.recorded_at)
        self.versions[last.stream] = last.version
        self.partitions[last.partition] = last.position
        self.recorded += events

    def _answer(self, append: Append, version: int) -> Appended:
        request = append.request
        answer = Appended(self.tail.position, version, b"" if request is None else request.response)
        if request is not None:
            self.requests[request.key] = Answered(request.command_hash, answer)
        return answer


def _require_version(stream: str, expected: Expected, version: int) -> None:
    match expected:
        case AnyVersion():
            fits = True
        case NoStream():
            fits = version == 0
        case StreamExists():
            fits = version > 0
        case Exact(wanted):
            fits = version == wanted
    if not fits:
        raise Conflict(stream, version)
