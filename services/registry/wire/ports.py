"""Ports, stored and shown."""

from typing import assert_never

from services.common.addressing import address_of
from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.principal import Principal
from services.registry.domain.port import (
    Endpoint,
    Event,
    Gateway,
    Holder,
    Machine,
    Port,
    PortReleased,
    PortReserved,
    State,
    of,
)
from services.registry.wire.envelope import UnknownEvent, nanoseconds, seal, timestamp, unseal
from sidegate.api.events.v1 import registry_events_pb2 as events_pb2
from sidegate.api.registry.v1 import vpc_pb2


class PortCodec:
    def encode(self, event: Event, state: State) -> NewEvent:
        port = port_message(of(state))
        match event:
            case PortReserved():
                return seal(events_pb2.RegistryEvent(port_reserved=events_pb2.PortReserved(), port=port))
            case PortReleased():
                return seal(events_pb2.RegistryEvent(port_released=events_pb2.PortReleased(), port=port))
            case _:
                assert_never(event)

    def decode(self, event: RecordedEvent) -> Event:
        message = unseal(event)
        match message.WhichOneof("fact"):
            case "port_reserved":
                return PortReserved(port_of(message.port))
            case "port_released":
                return PortReleased()
            case fact:
                raise UnknownEvent(f"{event.stream} is a port's and holds {fact}")

    def partition(self, state: State) -> str:
        return ""


def port_message(port: Port) -> vpc_pb2.Port:
    return vpc_pb2.Port(
        id=port.id,
        subnet_id=port.subnet_id,
        vpc_id=port.vpc_id,
        project=port.owner.project,
        account=port.owner.account,
        address=str(port.address),
        holder=str(port.holder),
        create_time=timestamp(port.created_at),
    )


def port_of(message: vpc_pb2.Port) -> Port:
    return Port(
        id=message.id,
        subnet_id=message.subnet_id,
        vpc_id=message.vpc_id,
        owner=Principal(message.account, message.project),
        address=address_of(message.address),
        holder=holder_of(message.holder),
        created_at=nanoseconds(message.create_time),
    )


def holder_of(text: str) -> Holder:
    """From "machine/<name>", "endpoint/<id>" or "gateway/resolver"."""
    kind, _, name = text.partition("/")
    return Endpoint(name) if kind == "endpoint" else Gateway(name) if kind == "gateway" else Machine(name)
