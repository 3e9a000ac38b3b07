"""Transport protocols and client identities in the contract <-> those of the table."""

from services.gateway_agent.table import ClientIdentity, PortMapping, Protocol
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.endpoint_service_pb2 import PortMapping as SaidMapping

PROTOCOLS = {
    SaidMapping.PROTOCOL_UNSPECIFIED: Protocol.TCP,
    SaidMapping.PROTOCOL_TCP: Protocol.TCP,
    SaidMapping.PROTOCOL_UDP: Protocol.UDP,
}
PROTOCOL_NUMBERS = {
    Protocol.TCP: SaidMapping.PROTOCOL_TCP,
    Protocol.UDP: SaidMapping.PROTOCOL_UDP,
}
_IDENTITIES = {
    EndpointService.CLIENT_IDENTITY_UNSPECIFIED: ClientIdentity.NONE,  # entries of before there were any
    EndpointService.CLIENT_IDENTITY_NONE: ClientIdentity.NONE,
    EndpointService.CLIENT_IDENTITY_TOA: ClientIdentity.TOA,
    EndpointService.CLIENT_IDENTITY_PROXY_PROTOCOL: ClientIdentity.PROXY,
    EndpointService.CLIENT_IDENTITY_TOA_AND_PROXY_PROTOCOL: ClientIdentity.PROXY,
    EndpointService.CLIENT_IDENTITY_PROXY_PROTOCOL_WITH_MARKER: ClientIdentity.PROXY,
}
_SHOWN = {
    ClientIdentity.NONE: EndpointService.CLIENT_IDENTITY_UNSPECIFIED,
    ClientIdentity.TOA: EndpointService.CLIENT_IDENTITY_TOA,
    ClientIdentity.PROXY: EndpointService.CLIENT_IDENTITY_PROXY_PROTOCOL,
}


def mapping_of(told: SaidMapping) -> PortMapping:
    """Raises ValueError. Of a datagram's client nobody can tell: UDP has no identity, whatever is said."""
    if told.protocol not in PROTOCOLS:
        raise ValueError(f"protocol {told.protocol} is unknown")
    if told.client_identity not in _IDENTITIES:
        raise ValueError(f"client identity {told.client_identity} is unknown")
    if not (0 < told.client_port < 1 << 16 and 0 < told.server_port < 1 << 16):
        raise ValueError(f"port mapping {told.client_port}:{told.server_port} is outside 1 to 65535")
    protocol = PROTOCOLS[told.protocol]
    identity = _IDENTITIES[told.client_identity] if protocol is Protocol.TCP else ClientIdentity.NONE
    return PortMapping(told.client_port, told.server_port, protocol, identity)


def mapping_to_proto(mapping: PortMapping) -> SaidMapping:
    return SaidMapping(
        client_port=mapping.client_port,
        server_port=mapping.server_port,
        protocol=PROTOCOL_NUMBERS[mapping.protocol],
        client_identity=_SHOWN[mapping.identity],
    )
