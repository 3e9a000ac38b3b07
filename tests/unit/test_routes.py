"""Routes of gateway-type endpoints, and what two lists of them both allow."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from services.gateway_agent.routes import allows, both_allow, in_order, leads_to, ranges, route_to, shown_by
from services.gateway_agent.table import Network, Protocol, Route
from tests.support.tables import endpoint

TCP, UDP = Protocol.TCP, Protocol.UDP
WHOLE = IPv4Network("100.125.0.0/29")
PORTS = ((TCP, 80), (TCP, 443), (UDP, 53))
prefixes = st.builds(
    lambda address, bits: IPv4Network((int(WHOLE.network_address) + address, bits), strict=False),
    st.integers(0, 7),
    st.integers(29, 32),
)
routes = st.builds(Route, prefixes, st.booleans(), st.lists(st.sampled_from(PORTS), unique=True, max_size=2).map(tuple))
lists = st.lists(routes, min_size=1, max_size=5, unique_by=lambda route: route.prefix).map(in_order)


def allowed(some: tuple[Route, ...]) -> set[tuple[IPv4Address, Protocol, int]]:
    found = set()
    for address in WHOLE:
        taken = route_to(some, address)
        found |= {(address, *port) for port in PORTS if taken and allows(taken, *port)}
    return found


def covered(some: tuple[Route, ...]) -> set[IPv4Address]:
    return {address for address in WHOLE if route_to(some, address)}


@given(lists, lists)
def test_what_both_allow_is_what_one_allows_and_the_other_too(one: tuple[Route, ...], other: tuple[Route, ...]) -> None:
    both = both_allow(one, other)
    assert allowed(both) == allowed(one) & allowed(other)
    assert covered(both) == covered(one) & covered(other)
    assert allowed(both_allow(other, one)) == allowed(both)


@given(lists)
def test_what_a_list_and_itself_allow_is_the_list(one: tuple[Route, ...]) -> None:
    assert both_allow(one, one) == one


@given(lists)
def test_ranges_are_all_addresses_once(one: tuple[Route, ...]) -> None:
    found = ranges(one)
    assert [address for network in found for address in network] == sorted(covered(one))
    assert set(found) <= {route.prefix for route in one}


def test_prefixes_beside_each_other_stay_apart() -> None:
    prefixes: list[Network] = [*WHOLE.subnets(), IPv6Network("2001:db8::/32")]
    assert ranges(map(Route, reversed(prefixes))) == tuple(prefixes)


def test_a_port_is_shown_by_an_address_that_allows_it() -> None:
    lower, upper = WHOLE.subnets()
    some = (Route(WHOLE, denied=True), Route(lower, ports=((TCP, 80),)), Route(upper, ports=((UDP, 53),)))
    at = endpoint(1, "vpc-1", "service-1")
    with_routes = replace(at, routes=some)
    assert shown_by(with_routes, TCP, 80) == lower.network_address
    assert shown_by(with_routes, UDP, 53) == upper.network_address
    assert shown_by(with_routes, TCP, 443) == at.address
    assert leads_to(with_routes, lower[1])
    assert not leads_to(with_routes, WHOLE[-1] + 1)
    assert leads_to(with_routes, at.address)
