"""Resolvers of VPCs, stored and shown: each with its address, which is a port."""

from typing import assert_never

from services.common.addressing import address_of
from services.common.name_servers import NameServer
from services.registry.domain.network import Place, Resolver, Vpc
from services.registry.domain.port import Gateway, Port
from services.registry.domain.resolver import Event, ResolverDeleted, ResolverPlaced, ResolverSet, ResolverWithdrawn
from services.registry.wire.envelope import nanoseconds, timestamp
from services.registry.wire.ports import port_message
from sidegate.api.events.v1 import registry_events_pb2 as events_pb2
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent
from sidegate.api.registry.v1 import vpc_pb2


def resolver_message(resolver: Resolver | None) -> vpc_pb2.Resolver | None:
    if resolver is None:
        return None
    place = resolver.place
    return vpc_pb2.Resolver(
        subnet_id=place.subnet_id,
        address=str(place.address),
        port_id=place.port_id,
        forwarders=[server.short for server in resolver.forwarders],
        create_time=timestamp(place.created_at),
    )


def resolver_of(message: vpc_pb2.Resolver) -> Resolver:
    place = Place(message.port_id, message.subnet_id, address_of(message.address), nanoseconds(message.create_time))
    return Resolver(place, tuple(map(NameServer.of, message.forwarders)))


def resolver_fact(event: Event, vpc: Vpc, shown: vpc_pb2.Vpc) -> RegistryEvent:
    """An event, with the VPC or the port as it is after it."""
    match event:
        case ResolverPlaced(place):
            return RegistryEvent(port_reserved=events_pb2.PortReserved(), port=_port(place, vpc))
        case ResolverWithdrawn(place):
            return RegistryEvent(port_released=events_pb2.PortReleased(), port=_port(place, vpc))
        case ResolverSet():
            return RegistryEvent(resolver_set=events_pb2.ResolverSet(), vpc=shown)
        case ResolverDeleted():
            return RegistryEvent(resolver_deleted=events_pb2.ResolverDeleted(), vpc=shown)
        case _:
            assert_never(event)


def resolver_event_of(message: RegistryEvent) -> Event | None:
    """None for what is another event."""
    ours = message.port.holder == str(Gateway())
    match message.WhichOneof("fact"):
        case "port_reserved" if ours:
            return ResolverPlaced(_place(message.port))
        case "port_released" if ours:
            return ResolverWithdrawn(_place(message.port))
        case "resolver_set":
            return ResolverSet(resolver_of(message.vpc.resolver))
        case "resolver_deleted":
            return ResolverDeleted()
        case _:
            return None


def _port(place: Place, vpc: Vpc) -> vpc_pb2.Port:
    """The address as the port that it is."""
    return port_message(
        Port(place.port_id, place.subnet_id, vpc.id, vpc.owner, place.address, Gateway(), place.created_at)
    )


def _place(message: vpc_pb2.Port) -> Place:
    return Place(message.id, message.subnet_id, address_of(message.address), nanoseconds(message.create_time))
