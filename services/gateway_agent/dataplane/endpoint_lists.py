"""Whitelist and routes of endpoints in the maps: new versions in full, and ranges that lead there."""

from collections.abc import Collection, Iterator

from services.gateway_agent.dataplane.libbpf import Map
from services.gateway_agent.dataplane.maps import NUMBER, Maps, allowed_key, pack_address
from services.gateway_agent.dataplane.route_maps import range_key, rule_of, rule_ports_of
from services.gateway_agent.table import Endpoint

InVpc = tuple[int, Endpoint]  # by the local number of its VPC


class EndpointLists:
    def __init__(self, maps: Maps) -> None:
        self._maps = maps

    def write(self, slot: int, version: int, endpoint: Endpoint) -> None:
        """Before the slot turns to the version."""
        for place, network in enumerate(endpoint.allowed):
            self._maps.allowed.put(allowed_key(slot, version, network), NUMBER.pack(place))
        for place, route in enumerate(endpoint.routes):
            for key, value in rule_ports_of(slot, version, route, place):
                self._maps.rule_ports.put(key, value)
            self._maps.rules.put(*rule_of(slot, version, route, place))

    def delete(self, slot: int, version: int, endpoint: Endpoint) -> None:
        """When the slot has turned to another version, or nobody has it."""
        for source, key in listed(self._maps, slot, version, endpoint):
            source.delete(key)

    def lead(self, before: InVpc | None, after: InVpc) -> None:
        """Ranges that led nowhere lead to the endpoint; without rules that say so, nothing passes by them."""
        same = before is not None and before[1].address == after[1].address
        there = range_keys(*before) if before and same else ()
        for key in range_keys(*after):
            if key not in there:
                self._maps.routes.put(key, pack_address(after[1].address))

    def forget(self, before: InVpc, after: InVpc | None = None) -> None:
        """Ranges that led to the endpoint lead nowhere, if they do not now."""
        kept = range_keys(*after) if after else ()
        for key in range_keys(*before):
            if key not in kept:
                self._maps.routes.delete(key)


def listed(maps: Maps, slot: int, version: int, endpoint: Endpoint) -> Iterator[tuple[Map, bytes]]:
    """What an endpoint has in a version of its lists."""
    for network in endpoint.allowed:
        yield maps.allowed, allowed_key(slot, version, network)
    for place, route in enumerate(endpoint.routes):
        yield maps.rules, rule_of(slot, version, route, place)[0]
        for key, _ in rule_ports_of(slot, version, route, place):
            yield maps.rule_ports, key


def range_keys(vpc: int, endpoint: Endpoint) -> Collection[bytes]:
    """In the order of the routes."""
    return dict.fromkeys(range_key(vpc, route.prefix) for route in endpoint.routes)
