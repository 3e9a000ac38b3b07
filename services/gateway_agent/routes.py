"""Routes of gateway-type endpoints: which one an address takes, what two lists of them both allow. Pure."""

from collections.abc import Iterable, Sequence

from services.gateway_agent.table import Address, Endpoint, Network, Protocol, Route

Port = tuple[Protocol, int]


def route_to(routes: Iterable[Route], address: Address) -> Route | None:
    """The longest that the address is in."""
    of = (route for route in routes if address in route.prefix)
    return max(of, key=lambda route: route.prefix.prefixlen, default=None)


def shown_by(endpoint: Endpoint, protocol: Protocol, port: int) -> Address:
    """An address by which the port is reached: its own, or that of the first route that allows it."""
    for route in endpoint.routes:
        first = route.prefix.network_address
        taken = route_to(endpoint.routes, first)
        if taken and allows(taken, protocol, port):
            return first
    return endpoint.address


def leads_to(endpoint: Endpoint, address: Address) -> bool:
    """Whether clients reach the endpoint by the address, or would if no policy denied it."""
    return address == endpoint.address or route_to(endpoint.routes, address) is not None


def allows(route: Route, protocol: Protocol, port: int) -> bool:
    return not route.denied and (not route.ports or (protocol, port) in route.ports)


def in_order(routes: Iterable[Route]) -> tuple[Route, ...]:
    """One order for each set of routes, so that tables can be compared: the lowest address first."""
    return tuple(sorted(routes, key=lambda route: _place(route.prefix)))


def ranges(routes: Iterable[Route]) -> tuple[Network, ...]:
    """The prefixes that are in no other: together they are all addresses that the routes are about."""
    outermost: list[Network] = []
    for prefix in sorted((route.prefix for route in routes), key=_place):
        if not (outermost and covers(outermost[-1], prefix)):
            outermost.append(prefix)
    return tuple(outermost)


def covers(one: Network, other: Network) -> bool:
    """Whether all of the other is in the one."""
    return one.version == other.version and one.prefixlen <= other.prefixlen and other.network_address in one


def both_allow(one: Sequence[Route], other: Sequence[Route]) -> tuple[Route, ...]:
    """Routes for what both allow, denied for what both are about and one of them denies."""
    if one == other:
        return tuple(one)
    prefixes = {route.prefix for route in (*one, *other)}
    pairs = ((prefix, _over(one, prefix), _over(other, prefix)) for prefix in prefixes)
    return in_order(_both(prefix, first, second) for prefix, first, second in pairs if first and second)


def _over(routes: Iterable[Route], prefix: Network) -> Route | None:
    """The longest that all of the prefix is in."""
    of = (route for route in routes if covers(route.prefix, prefix))
    return max(of, key=lambda route: route.prefix.prefixlen, default=None)


def _both(prefix: Network, one: Route, other: Route) -> Route:
    if not (one.ports and other.ports):
        return Route(prefix, one.denied or other.denied, one.ports or other.ports)
    ports = tuple(port for port in one.ports if port in other.ports)
    return Route(prefix, one.denied or other.denied or not ports, ports)


def _place(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen
