"""Transport protocols in the contract <-> those of the table."""

from services.gateway_agent.table import Protocol
from sidegate.api.registry.v1 import endpoint_service_pb2

PROTOCOLS = {
    endpoint_service_pb2.PortMapping.PROTOCOL_UNSPECIFIED: Protocol.TCP,
    endpoint_service_pb2.PortMapping.PROTOCOL_TCP: Protocol.TCP,
    endpoint_service_pb2.PortMapping.PROTOCOL_UDP: Protocol.UDP,
}
PROTOCOL_NUMBERS = {
    Protocol.TCP: endpoint_service_pb2.PortMapping.PROTOCOL_TCP,
    Protocol.UDP: endpoint_service_pb2.PortMapping.PROTOCOL_UDP,
}
