"""VPCs and subnets, stored and shown."""

from ipaddress import IPv4Network
from typing import assert_never

from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.principal import Principal
from services.registry.domain.addresses import router
from services.registry.domain.vpc import (
    Event,
    State,
    Subnet,
    SubnetCreated,
    SubnetDeleted,
    Vpc,
    VpcCreated,
    VpcDeleted,
    of,
)
from services.registry.wire.envelope import UnknownEvent, nanoseconds, seal, timestamp, unseal
from sidegate.api.events.v1 import registry_events_pb2 as events_pb2
from sidegate.api.registry.v1 import vpc_pb2


class VpcCodec:
    def encode(self, event: Event, state: State) -> NewEvent:
        return seal(_message(event, of(state)))

    def decode(self, event: RecordedEvent) -> Event:
        message = unseal(event)
        match message.WhichOneof("fact"):
            case "vpc_created":
                return VpcCreated(_vpc(message.vpc))
            case "vpc_deleted":
                return VpcDeleted()
            case "subnet_created":
                return SubnetCreated(_subnet(message.subnet))
            case "subnet_deleted":
                return SubnetDeleted(_subnet(message.subnet))
            case fact:
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
    )


def _message(event: Event, vpc: Vpc) -> events_pb2.RegistryEvent:
    match event:
        case VpcCreated():
            return events_pb2.RegistryEvent(vpc_created=events_pb2.VpcCreated(), vpc=vpc_message(vpc))
        case VpcDeleted():
            return events_pb2.RegistryEvent(vpc_deleted=events_pb2.VpcDeleted(), vpc=vpc_message(vpc))
        case SubnetCreated(subnet):
            created = events_pb2.SubnetCreated()
            return events_pb2.RegistryEvent(subnet_created=created, subnet=subnet_message(subnet, vpc))
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
        cidrs=tuple(map(IPv4Network, message.cidrs)),
        created_at=nanoseconds(message.create_time),
    )


def _subnet(message: vpc_pb2.Subnet) -> Subnet:
    return Subnet(message.id, message.name, IPv4Network(message.cidr), nanoseconds(message.create_time))
