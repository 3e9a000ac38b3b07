"""Attachments, stored and shown."""

from typing import assert_never

from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.registry.domain.attachment import AttachmentCreated, AttachmentDeleted, Event, State, of
from services.registry.domain.reach import Attachment
from services.registry.wire.envelope import UnknownEvent, nanoseconds, seal, timestamp, unseal
from services.registry.wire.targets import show_target, target_of
from sidegate.api.events.v1 import registry_events_pb2 as events_pb2
from sidegate.api.registry.v1 import vpc_pb2


class AttachmentCodec:
    def encode(self, event: Event, state: State) -> NewEvent:
        shown = attachment_message(of(state))
        match event:
            case AttachmentCreated():
                created = events_pb2.AttachmentCreated()
                return seal(events_pb2.RegistryEvent(attachment_created=created, attachment=shown))
            case AttachmentDeleted():
                deleted = events_pb2.AttachmentDeleted()
                return seal(events_pb2.RegistryEvent(attachment_deleted=deleted, attachment=shown))
            case _:
                assert_never(event)

    def decode(self, event: RecordedEvent) -> Event:
        message = unseal(event)
        match message.WhichOneof("fact"):
            case "attachment_created" if not message.attachment.by_default:
                return AttachmentCreated(attachment_of(message.attachment))
            case "attachment_deleted" if not message.attachment.by_default:
                return AttachmentDeleted()
            case fact:
                raise UnknownEvent(f"{event.stream} is an attachment's and holds {fact}")

    def partition(self, state: State) -> str:
        return ""


def attachment_message(attachment: Attachment, *, by_default: bool = False) -> vpc_pb2.Attachment:
    shown = vpc_pb2.Attachment(
        id=attachment.id,
        vpc_id=attachment.vpc_id,
        cell=attachment.cell,
        create_time=timestamp(attachment.created_at),
        by_default=by_default,
    )
    show_target(attachment.target, shown)
    return shown


def attachment_of(message: vpc_pb2.Attachment) -> Attachment:
    return Attachment(
        id=message.id,
        vpc_id=message.vpc_id,
        cell=message.cell,
        target=target_of(message),
        created_at=nanoseconds(message.create_time),
    )
