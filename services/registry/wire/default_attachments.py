"""Default attachments, asked for, stored and shown."""

from typing import assert_never

from services.common.errors import Invalid
from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.registry.domain.addresses import parse_ipv4
from services.registry.domain.default_attachment import (
    DefaultAttachmentDeleted,
    DefaultAttachmentSet,
    Event,
    State,
    of,
)
from services.registry.domain.reach import DefaultAttachment, NetnsPattern, Template, VxlanRange
from services.registry.domain.targets import FIRST_DEVICE, FIRST_VXLAN_PORT, check_hosts
from services.registry.wire.envelope import UnknownEvent, nanoseconds, seal, timestamp, unseal
from sidegate.api.events.v1 import registry_events_pb2 as events_pb2
from sidegate.api.registry.v1 import vpc_pb2

FIELD = "default_attachment"


class DefaultAttachmentCodec:
    def encode(self, event: Event, state: State) -> NewEvent:
        shown = default_message(of(state))
        match event:
            case DefaultAttachmentSet():
                was_set = events_pb2.DefaultAttachmentSet()
                return seal(events_pb2.RegistryEvent(default_attachment_set=was_set, default_attachment=shown))
            case DefaultAttachmentDeleted():
                deleted = events_pb2.DefaultAttachmentDeleted()
                return seal(events_pb2.RegistryEvent(default_attachment_deleted=deleted, default_attachment=shown))
            case _:
                assert_never(event)

    def decode(self, event: RecordedEvent) -> Event:
        message = unseal(event)
        match message.WhichOneof("fact"):
            case "default_attachment_set":
                return DefaultAttachmentSet(default_of(message.default_attachment))
            case "default_attachment_deleted":
                return DefaultAttachmentDeleted()
            case fact:
                raise UnknownEvent(f"{event.stream} is a default attachment's and holds {fact}")

    def partition(self, state: State) -> str:
        return ""


def parse_template(wanted: vpc_pb2.DefaultAttachment) -> Template:
    """What the caller asks for, with what was left out filled in. Raises Invalid."""
    match _template(wanted):
        case NetnsPattern(namespace, device):
            return NetnsPattern(namespace, device or FIRST_DEVICE)
        case VxlanRange(first, last, port, remotes, local, mtu):
            if first > last:
                text = f"no number is from {first} to {last}: give the lowest first"
                raise Invalid("RANGE_EMPTY", text, field=f"{FIELD}.vxlan.last_vni")
            check_hosts(remotes, f"{FIELD}.vxlan.remotes")
            check_hosts([local] if local else [], f"{FIELD}.vxlan.local")
            return VxlanRange(first, last, port or FIRST_VXLAN_PORT, remotes, local, mtu)
        case other:
            assert_never(other)


def default_of(message: vpc_pb2.DefaultAttachment) -> DefaultAttachment:
    return DefaultAttachment(message.cell, _template(message), nanoseconds(message.update_time))


def default_message(default: DefaultAttachment) -> vpc_pb2.DefaultAttachment:
    shown = vpc_pb2.DefaultAttachment(cell=default.cell, update_time=timestamp(default.set_at))
    match default.template:
        case NetnsPattern(namespace, device):
            shown.netns.CopyFrom(vpc_pb2.NetnsPattern(namespace=namespace, device=device))
        case VxlanRange() as range_:
            shown.vxlan.CopyFrom(_range_message(range_))
        case other:
            assert_never(other)
    return shown


def _template(message: vpc_pb2.DefaultAttachment) -> Template:
    match message.WhichOneof("target"):
        case "netns":
            return NetnsPattern(message.netns.namespace, message.netns.device)
        case "vxlan":
            return _range(message.vxlan)
        case other:
            raise LookupError(f"the default attachment of cell {message.cell} has no target that is known: {other}")


def _range(message: vpc_pb2.VxlanRange) -> VxlanRange:
    remotes = tuple(parse_ipv4(text, f"{FIELD}.vxlan.remotes") for text in message.remotes)
    local = parse_ipv4(message.local, f"{FIELD}.vxlan.local") if message.local else None
    return VxlanRange(message.first_vni, message.last_vni, message.port, remotes, local, message.mtu)


def _range_message(range_: VxlanRange) -> vpc_pb2.VxlanRange:
    return vpc_pb2.VxlanRange(
        first_vni=range_.first_vni,
        last_vni=range_.last_vni,
        remotes=map(str, range_.remotes),
        port=range_.port,
        local=str(range_.local) if range_.local else "",
        mtu=range_.mtu,
    )
