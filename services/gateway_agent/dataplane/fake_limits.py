"""What endpoints of the fake data plane let in, and may take of their services: the rules of bpf/table.h and meter.h.

Pure: time comes in.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.routes import allows, route_to
from services.gateway_agent.table import SOURCE_PREFIX_V6, SOURCE_RANGE, Address, Endpoint, Limits, Protocol

NEW_BURST = 1.0  # seconds: as many as a second allows may come at once
BITS_BURST = 0.1  # a tenth of a second's, and one packet of GSO
LARGEST_PACKET_BITS = 8 * 65_536
NOBODYS = (IPv4Network("0.0.0.0/8"), IPv4Network("127.0.0.0/8"), SOURCE_RANGE)
NOBODYS_V6 = (IPv6Network("::/64"), SOURCE_PREFIX_V6.supernet(new_prefix=64))


def is_nobodys(address: Address) -> bool:
    """Whether no machine of a VPC has it."""
    return any(address in network for network in (NOBODYS if isinstance(address, IPv4Address) else NOBODYS_V6))


def complaint_of_lists(endpoint: Endpoint, client: Address, to: tuple[Address, Protocol, int]) -> Counter | None:
    """Why an endpoint does not let a client go to an address and port."""
    address, protocol, port = to
    if not any(client in network for network in endpoint.allowed):
        return Counter.REFUSED_NOT_ALLOWED
    if not endpoint.routes:
        return None
    route = route_to(endpoint.routes, address)
    if route is None:
        return Counter.REFUSED_NO_ENDPOINT
    return None if allows(route, protocol, port) else Counter.REFUSED_DENIED


@dataclass(slots=True)
class Meter:
    """The generic cell rate algorithm; `at` is when the whole allowance is there again."""

    at: float = 0.0

    def conforms(self, cost: float, burst: float, now: float) -> bool:
        after = max(self.at, now) + cost
        if after - now > burst:
            return False
        self.at = after
        return True


@dataclass(slots=True)
class Meters:
    """Of endpoints, by id."""

    new: defaultdict[str, Meter] = field(default_factory=lambda: defaultdict(Meter))
    bits: defaultdict[str, Meter] = field(default_factory=lambda: defaultdict(Meter))

    def complaint_of_opening(self, endpoint: str, limits: Limits, sessions: int, now: float) -> Counter | None:
        """Why no other session may open beside so many."""
        per_second = limits.new_connections_per_second
        if per_second and not self.new[endpoint].conforms(1 / per_second, NEW_BURST, now):
            return Counter.REFUSED_LIMIT_NEW
        if limits.connections and sessions >= limits.connections:
            return Counter.REFUSED_LIMIT_CONNECTIONS
        return None

    def may_pass(self, endpoint: str, limits: Limits, size: int, now: float) -> bool:
        rate = limits.bits_per_second
        burst = max(BITS_BURST, LARGEST_PACKET_BITS / rate) if rate else 0
        return not rate or self.bits[endpoint].conforms(size * 8 / rate, burst, now)
