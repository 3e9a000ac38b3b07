"""Where endpoints' sessions come from, and go to, beside their element: source addresses and proxies in the maps."""

from collections.abc import Mapping
from ipaddress import IPv4Address

from services.gateway_agent.dataplane.maps import OWNER, SOURCE_KEY, Maps, owner_key
from services.gateway_agent.dataplane.memory import Pair
from services.gateway_agent.table import Endpoint, Key

NO_SOURCE = IPv4Address(0)
NOBODY = 0


def owns_sources(endpoint: Endpoint) -> bool:
    """Not one whose service keeps the source, nor one that a proxy connects to: it has those of the endpoint that the
    proxy is for."""
    return endpoint.source_address != NO_SOURCE and endpoint.proxy != endpoint.service


class EndpointSources:
    """Remembers which are owned, by the keys in `source_owners`, where a service is now in another VPC than it was."""

    def __init__(self, maps: Maps, owned: Mapping[Key, list[bytes]]) -> None:
        self._maps = maps
        self._owned = dict(owned)

    def write(self, slot: int, service: int, vpc: int, endpoint: Endpoint) -> None:
        """Those that are new come last: how many there are is told when they are there."""
        owned = self._owned.setdefault(endpoint.key, [])
        keys = owner_keys(vpc, endpoint)
        if owns_sources(endpoint):
            for key in keys[len(owned) :]:
                self._maps.source_owners.put(key, OWNER.pack(slot, service))
        for index in range(max(1, len(owned)), len(keys)):
            self._maps.more_sources.put(SOURCE_KEY.pack(slot, index), endpoint.more_sources[index - 1].packed)
        if endpoint.more_sources or len(owned) > 1:
            self._maps.source_counts[slot] = Pair(len(endpoint.more_sources), 0)
        owned[:] = keys

    def delete(self, slot: int, endpoint: Endpoint) -> None:
        owned = self._owned.pop(endpoint.key, [])
        self.lead(slot, NOBODY)
        if len(owned) > 1:
            self._maps.source_counts[slot] = Pair(0, 0)
        for index in range(1, len(owned)):
            self._maps.more_sources.delete(SOURCE_KEY.pack(slot, index))
        for key in owned:
            owner = self._maps.source_owners.get(key)
            if owner and OWNER.unpack(owner)[0] == slot:  # not one that another has come by meanwhile
                self._maps.source_owners.delete(key)

    def lead(self, slot: int, proxy: int) -> None:
        """New sessions to ports with a proxy go to that service's number; to nobody, if it is 0."""
        if self._maps.proxies[slot].low != proxy:
            self._maps.proxies[slot] = Pair(proxy, 0)


def owner_keys(vpc: int, endpoint: Endpoint) -> list[bytes]:
    """By the number of the VPC that the backends are in."""
    return [owner_key(vpc, source) for source in (endpoint.source_address, *endpoint.more_sources)]
