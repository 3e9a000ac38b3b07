"""Routes as bytes, as in bpf/maps.h: ranges of a VPC that lead to an endpoint, and rules of what may be sent there."""

from collections.abc import Mapping
from struct import Struct

from services.gateway_agent.dataplane.maps import (
    MAPPED_BITS,
    NUMBER,
    PROTOCOL_NUMBERS,
    PROTOCOLS,
    allowed_key,
    pack_address,
    read_allowed_key,
)
from services.gateway_agent.table import Network, Protocol, Route

RANGE_KEY = Struct("<II16s")
RULE_PORT_KEY = Struct("<IIH2sI")
RANGE_FIXED_BITS = 32  # the VPC, which always matches whole
RULE_DENIES, RULE_HAS_PORTS, RULE_PLACE = 1 << 31, 1 << 30, 0xFFFF

Items = list[tuple[bytes, bytes]]


def range_key(vpc: int, network: Network) -> bytes:
    prefix = RANGE_FIXED_BITS + network.prefixlen + (MAPPED_BITS if network.version == 4 else 0)
    return RANGE_KEY.pack(prefix, vpc, pack_address(network.network_address))


def rule_of(slot: int, version: int, route: Route, place: int) -> tuple[bytes, bytes]:
    flags = RULE_DENIES * route.denied | RULE_HAS_PORTS * bool(route.ports)
    return allowed_key(slot, version, route.prefix), NUMBER.pack(place | flags)


def rule_ports_of(slot: int, version: int, route: Route, place: int) -> Items:
    return [
        (
            RULE_PORT_KEY.pack(slot, version, place, port.to_bytes(2, "big"), PROTOCOL_NUMBERS[protocol]),
            NUMBER.pack(number),
        )
        for number, (protocol, port) in enumerate(route.ports)
    ]


def read_routes(rules: Items, rule_ports: Items) -> tuple[Route, ...] | None:
    """The routes that the rules of a slot are made of; None where rules and their ports do not fit each other."""
    ports = _read_ports(rule_ports)
    placed: dict[int, Route] = {}
    for key, value in rules:
        (word,) = NUMBER.unpack(value)
        place = word & RULE_PLACE
        if bool(word & RULE_HAS_PORTS) != (place in ports):
            return None
        of = ports.get(place, {})
        listed = tuple(of[number] for number in sorted(of))
        placed[place] = Route(read_allowed_key(key), bool(word & RULE_DENIES), listed)
    if len(placed) != len(rules) or ports.keys() - placed.keys():
        return None
    return tuple(placed[place] for place in sorted(placed))


def _read_ports(items: Items) -> Mapping[int, Mapping[int, tuple[Protocol, int]]]:
    """By place of the rule and of the port."""
    ports: dict[int, dict[int, tuple[Protocol, int]]] = {}
    for key, value in items:
        _, _, place, port, protocol = RULE_PORT_KEY.unpack(key)
        (number,) = NUMBER.unpack(value)
        ports.setdefault(place, {})[number] = PROTOCOLS[protocol], int.from_bytes(port, "big")
    return ports
