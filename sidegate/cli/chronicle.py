"""Records of the event logs in words: who did what, when, to which resource."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent
from sidegate.api.events.v1.log_pb2 import EventMeta, LogRecord
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent
from sidegate.cli import facts, words
from sidegate.cli.facts import Json
from sidegate.cli.view import View, table
from sidegate.resources.logs import LogName

TITLES = ("time", "who", "what", "resource", "method", "log", "position")
WIDE_TITLES = ("stream", "version", "type", "request id", "trace id", "hash")
TOLD = ("reason", "permissions", "gateway_id")

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Subject:
    """The resource that an event is about."""

    kind: str
    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Deed:
    """One record, read. `event` is None where its data cannot be."""

    log: LogName
    record: LogRecord
    meta: EventMeta
    event: RegistryEvent | EndpointEvent | None

    @classmethod
    def of(cls, log: LogName, record: LogRecord) -> "Deed":
        kind: type[RegistryEvent] | type[EndpointEvent] = RegistryEvent if log is LogName.REGISTRY else EndpointEvent
        return cls(log, record, _decode(EventMeta, record.meta) or EventMeta(), _decode(kind, record.data))

    @property
    def what(self) -> str:
        """The fact in words: ConnectionApproved is "connection approved"."""
        fact = self._fact
        if fact is None:
            return words.of(f"{self.record.type}, unreadable")
        said = re.sub(r"(?<!^)(?=[A-Z])", " ", fact.DESCRIPTOR.name).lower()
        told = [words.field(fact, field.name) for field in fact.DESCRIPTOR.fields if field.name in TOLD]
        return f"{said}: {', '.join(told)}" if any(told) else said

    @property
    def subject(self) -> Subject:
        match self.event:
            case RegistryEvent() as event:
                return _registry_subject(event) or self._stream
            case EndpointEvent(endpoint=endpoint) if endpoint.id:
                return Subject("endpoint", endpoint.id, endpoint.name or endpoint.address)
            case _:
                return self._stream

    @property
    def facts(self) -> dict[str, Json]:
        record, meta, subject = self.record, self.meta, self.subject
        time = Timestamp()
        time.FromNanoseconds(record.recorded_at)
        return {
            "time": time.ToJsonString(),
            "who": f"{meta.account}/{meta.project}",
            "account": meta.account,
            "project": meta.project,
            "acting": meta.acting,
            "access_key": meta.access_key,
            "method": meta.method,
            "request_id": meta.request_id,
            "trace_id": _trace_id(meta),
            "what": self.what,
            "resource": f"{subject.kind}/{subject.id}",
            "resource_name": subject.name,
            "log": self.log.value,
            "position": record.position,
            "stream": record.stream,
            "version": record.version,
            "type": record.type,
            "hash": record.hash.hex(),
            "event": facts.of(self.event) if self.event else None,
        }

    def row(self, wide: bool) -> Sequence[str]:
        record, meta, subject = self.record, self.meta, self.subject
        cells = (
            words.moment(record.recorded_at),
            f"{meta.account}/{meta.project}" + f" ({meta.acting})" * bool(meta.acting),
            self.what,
            " ".join(filter(None, (subject.kind, subject.name, subject.id))),
            meta.method,
            self.log.value,
            str(record.position),
        )
        more = (record.stream, str(record.version), record.type, meta.request_id, _trace_id(meta), record.hash.hex())
        return [words.of(cell) for cell in cells + more * wide]

    @property
    def _fact(self) -> Message | None:
        name = self.event.WhichOneof("fact") if self.event else None
        return getattr(self.event, name) if name else None

    @property
    def _stream(self) -> Subject:
        kind, _, id = self.record.stream.partition("-")
        return Subject(kind, id)


def view(deeds: Sequence[Deed]) -> View:
    return View(
        [deed.facts for deed in deeds],
        lambda wide: table(TITLES + WIDE_TITLES * wide, [deed.row(wide) for deed in deeds]) if deeds else None,
        remark="" if deeds else "no records",
    )


def _trace_id(meta: EventMeta) -> str:
    """The second part of a traceparent; empty where nobody traced it."""
    return meta.traceparent[3:35]


def _decode(kind: type[M], data: bytes) -> M | None:
    try:
        return kind.FromString(data)
    except DecodeError:
        return None


def _registry_subject(event: RegistryEvent) -> Subject | None:
    match event.WhichOneof("resource"):
        case "vpc":
            return Subject("vpc", event.vpc.id, event.vpc.name)
        case "subnet":
            return Subject("subnet", event.subnet.id, event.subnet.name)
        case "route_table":
            return Subject("route table", event.route_table.id, event.route_table.name)
        case "port":
            return Subject("port", event.port.id, event.port.address)
        case "attachment":
            return Subject("attachment", event.attachment.id, words.target_of(event.attachment))
        case "account":
            return Subject("account", event.account.name)
        case "access_key":
            return Subject("key", event.access_key.id, f"of {event.access_key.account}/{event.access_key.project}")
        case "events_credential":
            shown = event.events_credential
            return Subject("credential", shown.id, f"of {shown.account}/{shown.project}")
        case "service":
            return Subject("service", event.service.id, event.service.name)
        case _:
            return None
