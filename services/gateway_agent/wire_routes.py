"""Routes of gateway-type endpoints in entries of the forwarding log <-> those of the table."""

from collections.abc import Iterable

from services.common.addressing import network_of
from services.gateway_agent.routes import in_order
from services.gateway_agent.table import Protocol, Route
from services.gateway_agent.wire_protocols import PROTOCOL_NUMBERS, PROTOCOLS
from sidegate.api.events.v1 import forwarding_pb2
from sidegate.api.registry.v1 import endpoint_service_pb2


def routes_of(told: Iterable[forwarding_pb2.RouteForwarding]) -> tuple[Route, ...]:
    """In one order, whatever they are told in. Raises ValueError for what must not be forwarded by halves."""
    routes = in_order(map(_route, told))
    if len({route.prefix for route in routes}) != len(routes):
        raise ValueError("two of its routes have one prefix")
    if len({route.prefix.version for route in routes}) > 1:
        raise ValueError("its routes are of both IP versions")
    return routes


def _route(told: forwarding_pb2.RouteForwarding) -> Route:
    return Route(network_of(told.prefix), told.denied, tuple(sorted({_port(each) for each in told.ports})))


def _port(told: forwarding_pb2.PortForwarding) -> tuple[Protocol, int]:
    if told.protocol not in PROTOCOLS or told.protocol == endpoint_service_pb2.PortMapping.PROTOCOL_UNSPECIFIED:
        raise ValueError(f"protocol {told.protocol} of a route is unknown")
    if not 0 < told.client_port < 1 << 16:
        raise ValueError(f"port {told.client_port} of a route is outside 1 to 65535")
    return PROTOCOLS[told.protocol], told.client_port


def route_to_proto(route: Route) -> forwarding_pb2.RouteForwarding:
    return forwarding_pb2.RouteForwarding(
        prefix=str(route.prefix),
        denied=route.denied,
        ports=(
            forwarding_pb2.PortForwarding(client_port=port, protocol=PROTOCOL_NUMBERS[protocol])
            for protocol, port in route.ports
        ),
    )
