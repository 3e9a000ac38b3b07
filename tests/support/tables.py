"""Forwarding tables for tests: strategies for hypothesis, and what a table lets through."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import NamedTuple

from hypothesis import strategies as st

from services.gateway_agent.routes import allows, route_to
from services.gateway_agent.table import (
    ANYWHERE,
    Address,
    Attachment,
    Backend,
    Endpoint,
    Entry,
    ForwardingTable,
    Key,
    Kind,
    Network,
    PortMapping,
    Protocol,
    Route,
    Service,
)
from services.gateway_agent.targets import Netns

VPCS = ("vpc-1", "vpc-2", "vpc-3")
SERVICES = ("service-1", "service-2", "service-3")
ENDPOINTS = tuple(f"endpoint-{number}" for number in range(1, 6))
CLIENTS = tuple(IPv4Network("10.0.0.0/30"))
WHITELISTS = tuple(
    tuple(IPv4Network(cidr) for cidr in cidrs)
    for cidrs in (["0.0.0.0/0"], ["10.0.0.0/30"], ["10.0.0.0/31"], ["10.0.0.2/31"], ["10.0.0.1/32", "10.0.0.2/31"])
)


def policies(number: int) -> tuple[tuple[Route, ...], ...]:
    """Routes that endpoint `number` may have: none, all, with ports, with a part that is denied, and another part."""
    network = IPv4Network((int(IPv4Address("100.0.0.0")) + 4 * number, 30))
    lower, upper = network.subnets()
    web, first = ((Protocol.TCP, 80),), Route(network)
    return (
        (),
        (first,),
        (Route(network, ports=web),),
        (first, Route(upper, denied=True)),
        (Route(network, denied=True), Route(lower, ports=((Protocol.TCP, 443),))),
        (Route(lower),),
        (Route(upper),),
    )


def attachment(vpc: str, namespace: str = "blue", device: str = "sidegate0") -> Attachment:
    return Attachment(vpc, Netns(f"{namespace}-{vpc}", device))


def backends(*addresses: str | Address) -> tuple[Backend, ...]:
    """Backends of equal weight."""
    return tuple(Backend(ip_address(address)) for address in addresses)


def service(id_: str, vpc: str, ends: Iterable[str] = ("10.0.0.10",), port: int = 80) -> Service:
    return Service(id_, vpc, (PortMapping(port, 8080, Protocol.TCP),), backends(*ends))


def endpoint(
    number: int,
    vpc: str,
    service_id: str,
    *,
    admission: int = 1,
    allowed: tuple[Network, ...] = (ANYWHERE,),
    id_: str = "",
    draining_until: int = 0,
    routed: int = 0,
) -> Endpoint:
    """Endpoint `number` always has the address and the source address of that number, and `routed` is which of its
    `policies` it has."""
    address, source = IPv4Address("10.0.1.0") + number, IPv4Address("198.19.128.0") + number
    name, routes = id_ or f"endpoint-{number}", policies(number)[routed] if routed else ()
    plain = Endpoint(name, number, vpc, address, service_id, source, admission, allowed, draining_until)
    return replace(plain, address=routes[0].prefix.network_address, routes=routes) if routes else plain


attachments = st.builds(attachment, st.sampled_from(VPCS), st.sampled_from(["blue", "green"]))
services = st.builds(
    service,
    st.sampled_from(SERVICES),
    st.sampled_from(VPCS),
    st.sampled_from([("10.0.0.10",), ("10.0.0.11",), ("10.0.0.10", "10.0.0.12")]),
    st.sampled_from([80, 443]),
)
services |= services.map(
    lambda plain: replace(plain, backends=(*plain.backends, Backend(IPv4Address("10.0.0.13"), 3, draining=True)))
)
endpoints = st.builds(
    endpoint,
    st.integers(1, 5),
    st.sampled_from(VPCS),
    st.sampled_from(SERVICES),
    admission=st.integers(1, 3),
    allowed=st.sampled_from(WHITELISTS),
    draining_until=st.sampled_from([0, 0, 1_000, 2_000]),
    routed=st.integers(0, 6),
)


def closed(entries: Iterable[Entry]) -> ForwardingTable:
    """A table of those entries whose needs are among them."""
    kept: dict[Key, Entry] = {}
    for kind in Kind:
        kept |= {entry.key: entry for entry in entries if entry.key.kind is kind and entry.needs <= kept.keys()}
    return ForwardingTable(kept)


tables = st.lists(attachments | services | endpoints, max_size=14).map(closed)


class Flow(NamedTuple):
    """A client's connection and where it ends."""

    consumer: Attachment
    endpoint: Endpoint
    client: Address
    destination: Address
    mapping: PortMapping
    provider: Attachment
    backend: Address
    opens: bool  # a new one, or one that is established


def flows(entries: Mapping[Key, Entry]) -> frozenset[Flow]:
    """What a table lets through, as packets would see it: an endpoint counts without its lists."""
    return frozenset(
        flow for entry in entries.values() if isinstance(entry, Endpoint) for flow in _flows(entry, entries)
    )


def _flows(at: Endpoint, entries: Mapping[Key, Entry]) -> Iterable[Flow]:
    leads_to = entries.get(Key(Kind.SERVICE, at.service))
    consumer = entries.get(Key(Kind.ATTACHMENT, at.vpc))
    if not (isinstance(leads_to, Service) and isinstance(consumer, Attachment)):
        return
    provider = entries.get(Key(Kind.ATTACHMENT, leads_to.vpc))
    if not isinstance(provider, Attachment):
        return
    anonymous = Endpoint(at.id, at.marker, at.vpc, at.address, at.service, at.source_address, at.admission)
    for client in CLIENTS:
        if any(client in network for network in at.allowed):
            for destination, mapping in _reached(at, leads_to):
                for backend in leads_to.backends:
                    if not backend.draining:
                        for opens in (False, True)[: 1 if at.draining_until else 2]:
                            ends = provider, backend.address, opens
                            yield Flow(consumer, anonymous, client, destination, mapping, *ends)


def _reached(at: Endpoint, leads_to: Service) -> Iterable[tuple[Address, PortMapping]]:
    """The addresses of an endpoint, with the ports that may be connected to there."""
    if not at.routes:
        yield from ((at.address, mapping) for mapping in leads_to.ports)
    for address in {address for route in at.routes for address in route.prefix}:
        taken = route_to(at.routes, address)
        yield from (
            (address, mapping)
            for mapping in leads_to.ports
            if taken and allows(taken, mapping.protocol, mapping.client_port)
        )
