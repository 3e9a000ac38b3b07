"""Backends and port mappings: asked for, stored and shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.common.addressing import Address, address_of
from services.common.errors import Invalid
from services.registry.domain.addresses import parse_address
from services.registry.domain.publication import Backend, PortMapping, Protocol
from services.registry.wire.profiles import IDENTITIES, identity_of
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb2

_TCP, _UDP = service_pb2.PortMapping.PROTOCOL_TCP, service_pb2.PortMapping.PROTOCOL_UDP
_PROTOCOLS: Mapping[service_pb2.PortMapping.Protocol.ValueType, Protocol] = {
    service_pb2.PortMapping.PROTOCOL_UNSPECIFIED: Protocol.TCP,
    _TCP: Protocol.TCP,
    _UDP: Protocol.UDP,
}
_UNSAID = service_pb2.EndpointService.CLIENT_IDENTITY_UNSPECIFIED


@dataclass(frozen=True, slots=True)
class OfPort:
    """A backend that is given by its port: the address is the one that the port has."""

    port_id: str


Target = Address | OfPort


@dataclass(frozen=True, slots=True)
class AskedBackend:
    """A backend before its address is known."""

    target: Target
    weight: int = 1
    draining: bool = False

    def at(self, address: Address) -> Backend:
        port_id = self.target.port_id if isinstance(self.target, OfPort) else ""
        return Backend(address, self.weight, self.draining, port_id)


def parse_backends(messages: Iterable[service_pb2.Backend]) -> tuple[AskedBackend, ...]:
    """The backends that a caller asks for; what names no weight has weight 1."""
    return tuple(_parse_backend(message, index) for index, message in enumerate(messages))


def parse_mappings(messages: Iterable[service_pb2.PortMapping]) -> tuple[PortMapping, ...]:
    """The port mappings that a caller asks for; what names no protocol is TCP."""
    return tuple(_parse_mapping(message, index) for index, message in enumerate(messages))


def backend_message(backend: Backend) -> service_pb2.Backend:
    return service_pb2.Backend(
        address=str(backend.address), weight=backend.weight, draining=backend.draining, port=backend.port_id
    )


def backend_of(message: service_pb2.Backend) -> Backend:
    """Also one that was stored before there were weights."""
    return Backend(address_of(message.address), message.weight or 1, message.draining, message.port)


def mapping_message(mapping: PortMapping) -> service_pb2.PortMapping:
    return service_pb2.PortMapping(
        client_port=mapping.client_port,
        server_port=mapping.server_port,
        protocol=_UDP if mapping.protocol is Protocol.UDP else _TCP,
        client_identity=_UNSAID if mapping.client_identity is None else IDENTITIES[mapping.client_identity],
    )


def mapping_of(message: service_pb2.PortMapping, field: str = "port_mapping") -> PortMapping:
    """Also one that was stored before a port had a client identity of its own."""
    number = message.client_identity
    identity = identity_of(number, f"{field}.client_identity") if number else None
    return PortMapping(message.client_port, message.server_port, _PROTOCOLS[message.protocol], identity)


def _parse_backend(message: service_pb2.Backend, index: int) -> AskedBackend:
    return AskedBackend(_parse_target(message, index), message.weight or 1, message.draining)


def _parse_target(message: service_pb2.Backend, index: int) -> Target:
    field = f"endpoint_service.backends[{index}]"
    match message.WhichOneof("target"):
        case "address":
            return parse_address(message.address, f"{field}.address")
        case "port_id":
            return OfPort(message.port_id)
        case None:
            raise Invalid("BACKEND_MISSING", "a backend needs an address or a port_id", field=field)


def _parse_mapping(message: service_pb2.PortMapping, index: int) -> PortMapping:
    field = f"endpoint_service.port_mappings[{index}]"
    if message.protocol not in _PROTOCOLS:
        raise Invalid("PROTOCOL_UNKNOWN", "a protocol is TCP or UDP", field=f"{field}.protocol")
    return mapping_of(message, field)
