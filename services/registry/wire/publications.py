"""Backends and port mappings, stored and shown."""

from ipaddress import IPv4Address

from services.registry.domain.publication import PortMapping, Protocol
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb2

_UDP = service_pb2.PortMapping.PROTOCOL_UDP
_TCP = service_pb2.PortMapping.PROTOCOL_TCP


def backend_message(address: IPv4Address) -> service_pb2.Backend:
    return service_pb2.Backend(address=str(address))


def backend_of(message: service_pb2.Backend) -> IPv4Address:
    return IPv4Address(message.address)


def mapping_message(mapping: PortMapping) -> service_pb2.PortMapping:
    return service_pb2.PortMapping(
        client_port=mapping.client_port,
        server_port=mapping.server_port,
        protocol=_UDP if mapping.protocol is Protocol.UDP else _TCP,
    )


def mapping_of(message: service_pb2.PortMapping) -> PortMapping:
    """What names no protocol is TCP."""
    protocol = Protocol.UDP if message.protocol == _UDP else Protocol.TCP
    return PortMapping(message.client_port, message.server_port, protocol)
