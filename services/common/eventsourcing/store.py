"""The event store's port: one append-only log with contiguous positions, and what must hold across its streams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sidegate import evidence

GENESIS = evidence.GENESIS
"""The hash before the first event of a log."""

RecordedEvent = evidence.RecordedEvent
"""An event as the log has it: made once, for those who write the log and those who verify it."""

MAX_EVENT_BYTES = 256 * 1024
"""What data and meta of an event may have together, so that it fits into a message."""

MAX_EVENTS = 1000
"""How many events one append may carry."""


@dataclass(frozen=True, slots=True)
class AnyVersion:
    """The stream may be at any version."""


@dataclass(frozen=True, slots=True)
class NoStream:
    """The stream must be empty."""


@dataclass(frozen=True, slots=True)
class StreamExists:
    """The stream must hold at least one event."""


@dataclass(frozen=True, slots=True)
class Exact:
    """The stream must be at this version (0 is an empty stream)."""

    version: int


Expected = AnyVersion | NoStream | StreamExists | Exact


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that one stream at most may hold, such as an address of a subnet."""

    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Count:
    """A change of a counter. With `limit`, the append is refused if the counter would be above it afterwards."""

    kind: str
    key: str
    delta: int
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Constraints:
    """Rules over more than one stream, checked and applied in the writer's transaction, under the log's lock.

    In this order: `releases` (of claims that this stream holds; others' are left alone), `requires` (some stream
    must hold the claim), `claims`, `counts`.
    """

    claims: tuple[Claim, ...] = ()
    releases: tuple[Claim, ...] = ()
    requires: tuple[Claim, ...] = ()
    counts: tuple[Count, ...] = ()

    def __add__(self, other: "Constraints") -> "Constraints":
        return Constraints(
            self.claims + other.claims,
            self.releases + other.releases,
            self.requires + other.requires,
            self.counts + other.counts,
        )


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A fact to be stored. `type` is a stored name, never a Python path; `data` is kept byte for byte."""

    type: str
    data: bytes
    schema_version: int = 1


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes a retry the same request: unique per account, project and method."""

    account: str
    project: str
    method: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request to remember with its answer. `command_hash` (32 bytes) tells a retry from another command."""

    key: RequestKey
    command_hash: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class Append:
    """One command's outcome, stored whole or not at all. Without events it only remembers the request.

    `at` is nanoseconds since the epoch by the composition root's clock; `partition` is what `prev` links.
    A `trial` is refused as it would be, and otherwise changes nothing: no event, no claim, no request.
    With a `continuity` it is a Conflict where that is not the store's any more.
    """

    stream: str
    expected: Expected
    events: Sequence[NewEvent]
    at: int
    partition: str = ""
    meta: bytes = b""
    constraints: Constraints = field(default_factory=Constraints)
    request: Request | None = None
    trial: bool = False
    continuity: int | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did. `position` is that of the last event of the log when it did; `response` of the request."""

    position: int
    version: int
    response: bytes
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a log. `log_id` (a UUID) and `epoch` name this log among all that have ever been."""

    log_id: str
    epoch: int
    position: int
    hash: bytes


class StoreError(Exception):
    """The root of what a store raises."""


class Conflict(StoreError):
    """The stream is not at the expected version: load it and decide again."""

    def __init__(self, stream: str, version: int) -> None:
        super().__init__(f"{stream} is at version {version}")
        self.stream, self.version = stream, version


class AlreadyClaimed(StoreError):
    """Another stream holds the claim."""

    def __init__(self, claim: Claim, holder: str) -> None:
        super().__init__(f"{claim.kind} {claim.key} is held by {holder}")
        self.claim, self.holder = claim, holder


class NotClaimed(StoreError):
    """No stream holds a claim that the append requires: what it depends on is gone."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(f"{claim.kind} {claim.key} is not there")
        self.claim = claim


class LimitReached(StoreError):
    """A counter would be above its limit."""

    def __init__(self, count: Count, value: int) -> None:
        super().__init__(f"{count.kind} of {count.key} is {value}, its limit {count.limit}")
        self.count, self.value = count, value


class RequestReused(StoreError):
    """The request id has been used for another command."""


class Unavailable(StoreError):
    """The database is away, full or busy: nothing was stored by this append. Try again."""


class OutcomeUnknown(Unavailable):
    """The database went away while it committed: all of this append is stored, or nothing. Its request id finds out."""


class NotALog(StoreError, ValueError):
    """What was given names no database that a log can be in."""


class WrongSchema(StoreError):
    """The database was written by another version of Sidegate."""


class EventStore(Protocol):
    """Appends and reads. Positions are contiguous from 1, in the order in which events become visible."""

    @property
    def continuity(self) -> int:
        """Another number as soon as an append finds that the log is not as this store's last one has left it.

        So what was known before may be outdated: another program has written, or the database was restored.
        """

    async def append(self, append: Append) -> Appended:
        """Stores one command's outcome durably.

        Checks, in this order and under the log's lock: the request (a known one gives its first answer again),
        the expected version, the constraints. Raises a StoreError that fails this command only.
        """

    async def recall(self, key: RequestKey, command_hash: bytes) -> Appended | None:
        """The first answer to the request, None if it is new. Raises RequestReused."""

    async def load(self, stream: str, after: int = 0) -> Sequence[RecordedEvent]:
        """The events of one stream with a version above `after`, in order."""

    async def read(self, after: int, limit: int, partition: str | None = None) -> Sequence[RecordedEvent]:
        """Up to `limit` events with a position above `after`, in order; of one partition where it is given."""

    async def head(self) -> Head:
        """The end of the log as it is visible now."""

    async def holders(self, kind: str, prefix: str) -> Mapping[str, str]:
        """The claims of a kind whose keys start with the prefix: key to the stream that holds it."""

    async def count(self, kind: str, key: str) -> int:
        """A counter's value; 0 if it was never changed."""

    async def checkpoint(self, name: str) -> int:
        """The position that a subscriber of ours has saved; 0 if none."""

    async def save_checkpoint(self, name: str, position: int) -> None:
        """Saves the position of a subscriber of ours."""

    async def begin_epoch(self, epoch: int) -> Head:
        """Moves the log from `epoch` to the next one if it is still there (a fork was seen); gives the head."""

    async def wait_beyond(self, position: int) -> None:
        """Returns when there is an event above `position`: at once after a commit here, within 200 ms of another's."""

    async def close(self) -> None:
        """Waits for what is being written, then lets go of the database."""
