"""The log as evidence: every event carries a hash over all its columns and over the hash before it."""

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

GENESIS = bytes(32)
"""The hash before the first event of a log."""

TAG = b"sidegate.event.1\n"
"""Opens every hashed text, so that no other thing we ever hash can pass for an event."""

_length = struct.Struct(">I").pack
_number_length = struct.Struct(">IqI").pack
_numbers_length = struct.Struct(">IqIqI").pack
_WIDTH = 8


class RecordedEvent(NamedTuple):
    """An event as the log has it. `prev` is the position of the event before it in its partition, 0 if none.

    `recorded_at` is in nanoseconds since the epoch; `data` and `meta` are the bytes as they were written. A named
    tuple, because a scan makes hundreds of thousands of them a second.
    """

    position: int
    stream: str
    version: int
    event_id: bytes
    type: str
    schema_version: int
    recorded_at: int
    partition: str
    prev: int
    data: bytes
    meta: bytes
    hash: bytes


class Link(NamedTuple):
    """A place in the chain: all that has to be kept of a log to prove later that it still begins so."""

    position: int
    hash: bytes


ORIGIN = Link(0, GENESIS)
"""Before the first event."""

NO_HEADS: Mapping[int, bytes] = MappingProxyType({})


class Flaw(StrEnum):
    """Why a record does not fit."""

    POSITION = "position"
    VERSION = "version"
    PREV = "prev"
    TIME = "time"
    HASH = "hash"
    SIGNED = "signed"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Fault:
    """The first position that does not fit, and why."""

    position: int
    flaw: Flaw
    text: str

    def __str__(self) -> str:
        return f"position {self.position}: {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification has found. `head` is the last place that fits, `count` the records up to it."""

    log_id: str
    head: Link
    count: int
    fault: Fault | None = None

    @property
    def ok(self) -> bool:
        return self.fault is None


def link_hash(log_id: str, previous_hash: bytes, record: RecordedEvent) -> bytes:
    """The hash that a record must carry: SHA-256 over TAG, the hash before it, the log's id and its other columns.

    Each field is preceded by its length (32 bits), so that no two records hash the same text; numbers are 64 bits,
    all big-endian. A column that is not of its type raises AttributeError, TypeError, ValueError or struct.error.
    """
    position, stream, version, event_id, type_, schema_version, recorded_at, partition, prev, data, meta, _ = record
    log, stream_, kind, part = log_id.encode(), stream.encode(), type_.encode(), partition.encode()
    fields = (
        TAG,
        previous_hash,
        _length(len(log)),
        log,
        _number_length(_WIDTH, position, len(stream_)),
        stream_,
        _number_length(_WIDTH, version, len(event_id)),
        event_id,
        _length(len(kind)),
        kind,
        _numbers_length(_WIDTH, schema_version, _WIDTH, recorded_at, len(part)),
        part,
        _number_length(_WIDTH, prev, len(data)),
        data,
        _length(len(meta)),
        meta,
    )
    return hashlib.sha256(b"".join(fields)).digest()


class Verifier:
    """Follows a log record by record. It may start at any link that is trusted, such as a signed head.

    `heads` are other trusted places, position to hash, that the log has to lead to.
    """

    def __init__(self, log_id: str, start: Link = ORIGIN, heads: Mapping[int, bytes] = NO_HEADS) -> None:
        self._log_id = log_id
        self._start = start
        self._heads = heads
        self._position, self._hash = start
        self._time = 0
        self._versions: dict[str, int] = {}
        self._partitions: dict[str, int] = {}
        self._fault: Fault | None = None

    @property
    def verdict(self) -> Verdict:
        head = Link(self._position, self._hash)
        return Verdict(self._log_id, head, self._position - self._start.position, self._fault)

    def follow(self, record: RecordedEvent) -> Fault | None:
        """Takes the next record; gives the first fault of the log, after which nothing is taken any more."""
        if self._fault is None:
            self._fault = self._fault_of(record)
            if self._fault is None:
                self._position, self._hash, self._time = record.position, record.hash, record.recorded_at
                self._versions[record.stream] = record.version
                self._partitions[record.partition] = record.position
        return self._fault

    def end(self) -> Verdict:
        """The verdict when there are no more records: the log must have reached every head."""
        beyond = [position for position in self._heads if position > self._position]
        if self._fault is None and beyond:
            text = f"the log ends at position {self._position}, but a head at position {min(beyond)} was signed"
            self._fault = self._found(Flaw.SIGNED, text)
        return self.verdict

    def _fault_of(self, record: RecordedEvent) -> Fault | None:
        try:
            expected = link_hash(self._log_id, self._hash, record)
        except (AttributeError, TypeError, ValueError, struct.error) as error:
            return self._found(Flaw.MALFORMED, f"a column is not of its type: {error}")
        if record.position != self._position + 1:
            return self._found(Flaw.POSITION, f"the next record is that of position {record.position}")
        if record.version != self._versions.get(record.stream, 0) + 1 and not self._begins_within(record):
            return self._found(Flaw.VERSION, f"version {record.version} does not follow in {record.stream}")
        if record.prev != self._partitions.get(record.partition, 0) and not self._links_before(record):
            return self._found(Flaw.PREV, f"prev {record.prev} is not the event before it in '{record.partition}'")
        if record.recorded_at < self._time:
            return self._found(Flaw.TIME, f"recorded at {record.recorded_at}, before {self._time}")
        if record.hash != expected:
            return self._found(Flaw.HASH, f"its columns hash to {expected.hex()}, which is not its hash")
        if self._heads.get(record.position, expected) != expected:
            return self._found(Flaw.SIGNED, "the head that was signed here has another hash")
        return None

    def _begins_within(self, record: RecordedEvent) -> bool:
        """Whether the stream's earlier versions may lie before the start."""
        return record.stream not in self._versions and 1 <= record.version <= self._start.position + 1

    def _links_before(self, record: RecordedEvent) -> bool:
        """Whether the partition's event before this one may lie before the start."""
        return record.partition not in self._partitions and 0 <= record.prev <= self._start.position

    def _found(self, flaw: Flaw, text: str) -> Fault:
        return Fault(self._position + 1, flaw, text)


def verify(log_id: str, records: Iterable[RecordedEvent], start: Link = ORIGIN) -> Verdict:
    """Follows the records from `start` to their end or to the first that does not fit."""
    verifier = Verifier(log_id, start)
    for record in records:
        if verifier.follow(record):
            break
    return verifier.verdict
