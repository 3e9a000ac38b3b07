"""VPCs and subnets, stored and shown."""

from typing import assert_never

from services.common.addressing import addresses_of, network_of, networks_of
from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.principal import Principal
from services.registry.domain.addresses import router
from services.registry.domain.network import Subnet, Vpc
from services.registry.domain.resolver import ResolverDeleted, ResolverPlaced, ResolverSet, ResolverWithdrawn
from services.registry.domain.route_events import RouteEvent
from services.registry.domain.vpc import (
    Event,
    State,
    SubnetChanged,
    SubnetCreated,
    SubnetDeleted,
    VpcAttached,
    VpcChanged,
    VpcCreated,
    VpcDeleted,
    VpcDetached,
    of,
)
from services.registry.wire.attachments import attachment_message, attachment_of
from services.registry.wire.envelope import UnknownEvent, nanoseconds, seal, timestamp, unseal
from services.registry.wire.profiles import tag_message, tag_of
from services.registry.wire.resolvers import resolver_event_of, resolver_fact, resolver_message
from services.registry.wire.route_tables import route_event, route_message
from sidegate.api.events.v1 import registry_events_pb2 as events_pb2
from sidegate.api.registry.v1 import vpc_pb2


class VpcCodec:
    def encode(self, event: Event, state: State) -> NewEvent:
        return seal(_message(event, of(state)))

    def decode(self, event: RecordedEvent) -> Event:
        message = unseal(event)
        if (routed := route_event(message)) is not None:
            return routed
        match message.WhichOneof("fact"):
            case "vpc_created":
                return VpcCreated(_vpc(message.vpc))
            case "vpc_changed":
                now = _vpc(message.vpc)
                return VpcChanged(now.name, now.cidrs, now.description, now.tags)
            case "attachment_created" if message.attachment.by_default:
                return VpcAttached(attachment_of(message.attachment))
            case "attachment_deleted" if message.attachment.by_default:
                return VpcDetached(attachment_of(message.attachment))
            case "vpc_deleted":
                return VpcDeleted()
            case "subnet_created":
                return SubnetCreated(_subnet(message.subnet))
            case "subnet_changed":
                return SubnetChanged(_subnet(message.subnet))
            case "subnet_deleted":
                return SubnetDeleted(_subnet(message.subnet))
            case fact:
                if (of_resolver := resolver_event_of(message)) is not None:
                    return of_resolver
                raise UnknownEvent(f"{event.stream} is a VPC's and holds {fact}")

    def partition(self, state: State) -> str:
        return ""


def vpc_message(vpc: Vpc) -> vpc_pb2.Vpc:
    return vpc_pb2.Vpc(
        id=vpc.id,
        project=vpc.owner.project,
        account=vpc.owner.account,
        name=vpc.name,
        cidrs=map(str, vpc.cidrs),
        create_time=timestamp(vpc.created_at),
        etag=str(vpc.revision),
        description=vpc.description,
        tags=map(tag_message, vpc.tags),
        resolver=resolver_message(vpc.resolver),
    )


def subnet_message(subnet: Subnet, vpc: Vpc) -> vpc_pb2.Subnet:
    return vpc_pb2.Subnet(
        id=subnet.id,
        vpc_id=vpc.id,
        project=vpc.owner.project,
        account=vpc.owner.account,
        name=subnet.name,
        cidr=str(subnet.cidr),
        gateway_address=str(router(subnet.cidr)),
        create_time=timestamp(subnet.created_at),
        description=subnet.description,
        tags=map(tag_message, subnet.tags),
        dns_servers=map(str, subnet.dns_servers),
        dhcp_enabled=subnet.dhcp_enabled,
        availability_zone=subnet.availability_zone,
    )


def _message(event: Event, vpc: Vpc) -> events_pb2.RegistryEvent:
    if isinstance(event, RouteEvent):
        return route_message(event, vpc, vpc_message(vpc))
    match event:
        case VpcCreated():
            return events_pb2.RegistryEvent(vpc_created=events_pb2.VpcCreated(), vpc=vpc_message(vpc))
        case VpcChanged():
            return events_pb2.RegistryEvent(vpc_changed=events_pb2.VpcChanged(), vpc=vpc_message(vpc))
        case VpcAttached(attachment):
            shown = attachment_message(attachment, by_default=True)
            return events_pb2.RegistryEvent(attachment_created=events_pb2.AttachmentCreated(), attachment=shown)
        case VpcDetached(attachment):
            shown = attachment_message(attachment, by_default=True)
            return events_pb2.RegistryEvent(attachment_deleted=events_pb2.AttachmentDeleted(), attachment=shown)
        case ResolverPlaced() | ResolverWithdrawn() | ResolverSet() | ResolverDeleted():
            return resolver_fact(event, vpc, vpc_message(vpc))
        case VpcDeleted():
            return events_pb2.RegistryEvent(vpc_deleted=events_pb2.VpcDeleted(), vpc=vpc_message(vpc))
        case SubnetCreated(subnet):
            created = events_pb2.SubnetCreated()
            return events_pb2.RegistryEvent(subnet_created=created, subnet=subnet_message(subnet, vpc))
        case SubnetChanged(subnet):
            changed = events_pb2.SubnetChanged()
            return events_pb2.RegistryEvent(subnet_changed=changed, subnet=subnet_message(subnet, vpc))
        case SubnetDeleted(subnet):
            deleted = events_pb2.SubnetDeleted(subnet_id=subnet.id)
            return events_pb2.RegistryEvent(subnet_deleted=deleted, subnet=subnet_message(subnet, vpc))
        case _:
            assert_never(event)


def _vpc(message: vpc_pb2.Vpc) -> Vpc:
    return Vpc(
        id=message.id,
        owner=Principal(message.account, message.project),
        name=message.name,
        cidrs=networks_of(message.cidrs),
        created_at=nanoseconds(message.create_time),
        description=message.description,
        tags=tuple(map(tag_of, message.tags)),
    )


def _subnet(message: vpc_pb2.Subnet) -> Subnet:
    return Subnet(
        id=message.id,
        name=message.name,
        cidr=network_of(message.cidr),
        created_at=nanoseconds(message.create_time),
        description=message.description,
        tags=tuple(map(tag_of, message.tags)),
        dns_servers=addresses_of(message.dns_servers),
        dhcp_enabled=message.dhcp_enabled,
        availability_zone=message.availability_zone,
    )
