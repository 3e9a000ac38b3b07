"""A recorded event as the contract has it."""

from google.protobuf.message import DecodeError

from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.store import RecordedEvent
from sidegate.api.events.v1 import log_pb2


def to_log_record(event: RecordedEvent) -> log_pb2.LogRecord:
    return log_pb2.LogRecord(
        position=event.position,
        stream=event.stream,
        version=event.version,
        event_id=event.event_id,
        type=event.type,
        schema_version=event.schema_version,
        recorded_at=event.recorded_at,
        partition=event.partition,
        prev=event.prev,
        data=event.data,
        meta=event.meta,
        hash=event.hash,
    )


def to_recorded_event(record: log_pb2.LogRecord) -> RecordedEvent:
    return RecordedEvent(
        position=record.position,
        stream=record.stream,
        version=record.version,
        event_id=record.event_id,
        type=record.type,
        schema_version=record.schema_version,
        recorded_at=record.recorded_at,
        partition=record.partition,
        prev=record.prev,
        data=record.data,
        meta=record.meta,
        hash=record.hash,
    )


def event_meta(context: CommandContext) -> bytes:
    """Who did it, as it is stored beside each event of a command."""
    return log_pb2.EventMeta(
        account=context.principal.account,
        project=context.principal.project,
        method=context.method,
        request_id=context.request_id,
        traceparent=context.traceparent,
        acting=context.principal.acting,
        access_key=context.principal.access_key,
    ).SerializeToString(deterministic=True)


def traceparent_of(event: RecordedEvent) -> str:
    """The trace that the event is of; empty where nobody traced it."""
    try:
        return log_pb2.EventMeta.FromString(event.meta).traceparent
    except DecodeError:
        return ""
