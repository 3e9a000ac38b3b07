"""What a relay makes of a stream and a log that it has looked at: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from services.common.eventsourcing.store import Head
from services.common.messaging.stream import LogEpoch, StreamState
from sidegate.evidence import ORIGIN, Link

KEPT = 3
"""How many forked streams stay for the operator, beside the live one: they hold what a restored log has lost."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What there was to see. The log is read after the streams: it cannot then be behind what it has published.

    `published` is the hash in the last message of the newest stream, None where there is no such message, and
    `witness` what is written beside that stream. `recorded` is the hash of the log's event where the stream ends,
    None where there is no such event.
    """

    streams: Sequence[StreamState]
    published: bytes | None
    witness: Link | None
    head: Head
    recorded: bytes | None

    @property
    def log(self) -> LogEpoch:
        return LogEpoch(self.head.log_id, self.head.epoch)


@dataclass(frozen=True, slots=True)
class Create:
    """The stream of this epoch is to be made, after those of earlier ones were retired and the oldest deleted."""

    log: LogEpoch
    retire: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fork:
    """The stream tells another history than the log: the log has to go on in an epoch beyond the stream's."""

    beyond: int
    why: str


@dataclass(frozen=True, slots=True)
class Sound:
    """The stream holds what the log holds up to and with `last`, whose event has this hash.

    `witnessed` is whether that stands beside the stream too, for when the message will have grown too old.
    """

    log: LogEpoch
    last: int
    hash: bytes
    witnessed: bool


Verdict = Create | Fork | Sound


def newest(streams: Sequence[StreamState]) -> StreamState | None:
    """The stream of the highest epoch."""
    return max(streams, key=lambda stream: stream.log.epoch, default=None)


def judge(survey: Survey) -> Verdict:
    """A last message that is not there was too old, or got lost: then the witness beside the stream counts.

    Without one the log may have been restored, and have grown since. Nobody can tell, so it goes on in a new epoch:
    all hear everything again, which is never wrong.
    """
    stream, recorded = newest(survey.streams), survey.recorded
    if stream is None or stream.log.epoch < survey.head.epoch:
        return _create(survey)
    if why := _foreign(stream, survey.log):
        return Fork(stream.log.epoch, why)
    if recorded is None:
        return Fork(stream.log.epoch, f"{stream.name} is at {stream.last}, the log only at {survey.head.position}")
    end = Link(stream.last, recorded)
    published = _published(stream, survey)
    if published is None:
        return Fork(stream.log.epoch, f"nothing tells which event {stream.name} had at {stream.last}")
    if published != end:
        return Fork(stream.log.epoch, f"{stream.name} has another event at {stream.last} than the log")
    return Sound(survey.log, stream.last, recorded, witnessed=end in (survey.witness, ORIGIN))


def _published(stream: StreamState, survey: Survey) -> Link | None:
    """What the stream had last; None where that cannot be told any more."""
    if stream.last == ORIGIN.position:
        return ORIGIN
    if survey.published is not None:
        return Link(stream.last, survey.published)
    return survey.witness if survey.witness and survey.witness.position == stream.last else None


def _foreign(stream: StreamState, log: LogEpoch) -> str:
    if stream.log.epoch > log.epoch:
        return f"{stream.name} is there, the log only in epoch {log.epoch}"
    if stream.log != log:
        return f"{stream.name} is of log {stream.log.log_id or 'unknown'}, not {log.log_id}"
    return "" if stream.live else f"{stream.name} was retired"


def _create(survey: Survey) -> Create:
    # All that are kept are retired, not only the live one: a relay may have died while it did that.
    earlier = [stream.name for stream in sorted(survey.streams, key=attrgetter("log.epoch"), reverse=True)]
    return Create(survey.log, retire=tuple(earlier[:KEPT]), delete=tuple(earlier[KEPT:]))
