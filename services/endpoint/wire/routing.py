"""Routes of gateway-type endpoints, as they stand in an endpoint and in what gateways are told of it."""

from services.common.addressing import network_of, networks_of
from services.endpoint.domain.forwarding import Protocol
from services.endpoint.domain.routes import Port, Route, Routing
from services.endpoint.domain.whitelists import NOBODY, NOBODY_V6
from services.endpoint.wire.forwarding import STORED_PROTOCOL
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb

_PROTOCOLS: dict[int, Protocol] = {number: protocol for protocol, number in STORED_PROTOCOL.items()}


def route_message(route: Route) -> forwarding_pb.RouteForwarding:
    ports = (
        forwarding_pb.PortForwarding(client_port=port.number, protocol=STORED_PROTOCOL[port.protocol])
        for port in route.ports
    )
    return forwarding_pb.RouteForwarding(prefix=str(route.prefix), denied=route.denied, ports=ports)


def routing_of(resource: endpoint_pb.Endpoint, entry: forwarding_pb.EndpointForwarding) -> Routing | None:
    """None where the endpoint has an address."""
    if not entry.routes:
        return None
    subnets = networks_of(entry.allowed_cidrs)
    return Routing(
        tables=tuple(resource.route_tables),
        prefixes=networks_of(resource.public_prefixes),
        subnets=() if subnets in (NOBODY, NOBODY_V6) else subnets,
        routes=tuple(map(_route, entry.routes)),
    )


def _route(stored: forwarding_pb.RouteForwarding) -> Route:
    ports = tuple(Port(each.client_port, _PROTOCOLS[each.protocol]) for each in stored.ports)
    return Route(network_of(stored.prefix), stored.denied, ports)
