"""An event as a message and back: the data are the stored bytes, the rest of the event travels in headers."""

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from services.common.eventsourcing.store import MAX_EVENT_BYTES, RecordedEvent
from services.common.messaging.stream import LogEpoch
from sidegate.evidence import link_hash

# Short, since the client looks at each of their letters; they need no prefix in streams that are ours alone.
LOG_ID = "log_id"
EPOCH = "epoch"
EVENT_ID = "event_id"
HASH = "hash"
PREVIOUS_HASH = "prev_hash"
PREV = "prev"
TYPE = "type"
SCHEMA_VERSION = "schema"
STREAM = "stream"
VERSION = "version"
RECORDED_AT = "recorded_at"
PARTITION = "partition"
META = "meta"


class EventTooLarge(ValueError):
    """An event that no message may carry."""


class NotAnEvent(ValueError):
    """A message that no relay has published."""


@dataclass(frozen=True, slots=True)
class Message:
    """An event ready to be published. Its position is not in it: it is the sequence that the stream gives it."""

    subject: str
    headers: Mapping[str, str]
    data: bytes


@dataclass(frozen=True, slots=True)
class Publication:
    """An event as it was published: of which log, and after which hash."""

    event: RecordedEvent
    log: LogEpoch
    previous_hash: bytes


def to_message(event: RecordedEvent, subject: str, log: LogEpoch, previous_hash: bytes) -> Message:
    """The event as it is published. `previous_hash` is that of the event before it in the log."""
    size = len(event.data) + len(event.meta)
    if size > MAX_EVENT_BYTES:
        raise EventTooLarge(
            f"event {event.position} ({event.type} of {event.stream}) has {size} bytes of {MAX_EVENT_BYTES}"
        )
    headers = {
        LOG_ID: _text(log.log_id),
        EPOCH: str(log.epoch),
        EVENT_ID: event.event_id.hex(),
        HASH: event.hash.hex(),
        PREVIOUS_HASH: previous_hash.hex(),
        PREV: str(event.prev),
        TYPE: _text(event.type),
        SCHEMA_VERSION: str(event.schema_version),
        STREAM: _text(event.stream),
        VERSION: str(event.version),
        RECORDED_AT: str(event.recorded_at),
        PARTITION: _text(event.partition),
        META: base64.b64encode(event.meta).decode(),
    }
    return Message(subject, headers, event.data)


def from_message(position: int, headers: Mapping[str, str] | None, data: bytes) -> Publication:
    """What was published at a position. Raises NotAnEvent for what no relay has published, or not like this."""
    try:
        publication = _parse(position, headers or {}, data)
        hashed = link_hash(publication.log.log_id, publication.previous_hash, publication.event)
    except KeyError as error:
        raise NotAnEvent(f"the message at {position} has no header {error}") from error
    except (ValueError, struct.error) as error:
        raise NotAnEvent(f"the message at {position} has a malformed header: {error}") from error
    if hashed != publication.event.hash:
        raise NotAnEvent(f"the message at {position} does not have the hash that it claims")
    return publication


def hash_of(headers: Mapping[str, str] | None) -> bytes:
    """The hash that a message claims; empty if it is none of ours."""
    try:
        return bytes.fromhex((headers or {})[HASH])
    except (KeyError, ValueError):
        return b""


def _parse(position: int, headers: Mapping[str, str], data: bytes) -> Publication:
    event = RecordedEvent(
        position=position,
        stream=unquote(headers[STREAM]),
        version=int(headers[VERSION]),
        event_id=bytes.fromhex(headers[EVENT_ID]),
        type=unquote(headers[TYPE]),
        schema_version=int(headers[SCHEMA_VERSION]),
        recorded_at=int(headers[RECORDED_AT]),
        partition=unquote(headers[PARTITION]),
        prev=int(headers[PREV]),
        data=data,
        meta=base64.b64decode(headers[META], validate=True),
        hash=bytes.fromhex(headers[HASH]),
    )
    log = LogEpoch(unquote(headers[LOG_ID]), int(headers[EPOCH]))
    return Publication(event, log, bytes.fromhex(headers[PREVIOUS_HASH]))


def _text(value: str) -> str:
    # A header is trimmed and cannot hold a line break; escaped, every text comes back as it was.
    return quote(value, safe="/:@+,=")
