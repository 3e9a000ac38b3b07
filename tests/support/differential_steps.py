"""Histories of a gateway for the differential test: changes of its table, and frames, right, nearly right and wrong.

Steps name things by small numbers, which mean something only when they are played: `Following(3, ...)` is a packet of
the fourth session there is by then. So a history can be made shorter, and is still one.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from services.gateway_agent.table import (
    ANYWHERE,
    ANYWHERE_V6,
    SOURCE_PREFIX_V6,
    SOURCE_RANGE,
    Address,
    Affinity,
    Backend,
    ClientIdentity,
    Kind,
    Limits,
    PortMapping,
    Protocol,
    Route,
    Timeouts,
)
from tests.support.wire import ACK, FIN, RST, SYN

VPCS = ("blue", "green", "red")  # all of them 10.0.0.0/24
HOSTS = tuple(IPv4Address(f"10.0.0.{last}") for last in (20, 21, 22, 23))
SILENT = IPv4Address("10.0.0.24")
ADDRESSES = tuple(IPv4Address(f"10.0.0.{last}") for last in (100, 101, 20))  # the last is a host's as well
SOURCES = tuple(IPv4Address(f"198.19.{each}") for each in ("128.0", "200.7", "255.255"))
CLIENTS = tuple(
    IPv4Address(each)
    for each in (
        "10.0.0.10",
        "10.0.0.11",
        "192.0.2.1",
        "10.0.0.20",
        "10.0.0.100",
        "198.19.128.0",
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104
        "100.125.0.5",
    )
)
PUBLIC = tuple(IPv4Address("100.125.0.0") + number for number in range(9))  # addresses of routes, and one behind them
STRANGERS = tuple(IPv4Address(each) for each in ("0.0.0.0", "224.0.0.1", "255.255.255.255", "127.0.0.1"))  # noqa: S104
MORE_SOURCES = tuple(IPv4Address(f"198.19.{each}") for each in ("130.1", "130.2", "130.3"))
PATIENT, UNLIMITED = Timeouts(), Limits()
TIMEOUTS = (PATIENT, PATIENT, Timeouts(100, 60, 30, 200, 20))
LIMITS = (
    UNLIMITED,
    Limits(connections=1),
    Limits(connections=3, new_connections_per_second=1000),
    Limits(new_connections_per_second=1),
    Limits(new_connections_per_second=3, bits_per_second=10**12),
    Limits(bits_per_second=1000),
    Limits(bits_per_second=10**6),
)
PORTS = (
    PortMapping(80, 8080, Protocol.TCP),
    PortMapping(80, 8081, Protocol.TCP),
    PortMapping(81, 8080, Protocol.TCP),
    PortMapping(53, 5353, Protocol.UDP),
    PortMapping(80, 80, Protocol.UDP),
    PortMapping(80, 8080, Protocol.TCP, ClientIdentity.TOA),
    PortMapping(81, 8081, Protocol.TCP, ClientIdentity.TOA),
    PortMapping(80, 8080, Protocol.TCP, ClientIdentity.PROXY),
)
WHITELISTS = tuple(
    tuple(IPv4Network(each) for each in networks)
    for networks in (
        ["0.0.0.0/0"],
        [],
        ["10.0.0.10/32"],
        ["10.0.0.8/30", "198.0.0.0/7"],
        ["10.0.0.0/24", "10.0.0.10/32", "192.0.2.0/31"],
        ["128.0.0.0/1"],
    )
)
ROUTES = (
    (Route(IPv4Network("100.125.0.0/29")),),
    (Route(IPv4Network("100.125.0.0/29"), denied=True), Route(IPv4Network("100.125.0.0/30"))),
    (
        Route(IPv4Network("100.125.0.0/29"), ports=((Protocol.TCP, 80), (Protocol.UDP, 53))),
        Route(IPv4Network("100.125.0.2/31"), denied=True),
        Route(IPv4Network("100.125.0.3/32"), ports=((Protocol.TCP, 81),)),
    ),
    (Route(IPv4Network("100.125.0.0/32")), Route(IPv4Network("100.125.0.6/31"), ports=((Protocol.UDP, 80),))),
    (Route(IPv4Network("100.125.0.4/30")),),
)
FLAGS = (
    ACK,
    ACK,
    ACK,
    ACK,
    SYN,
    SYN,
    SYN | ACK,
    FIN | ACK,
    FIN | ACK,
    FIN,
    RST,
    RST | ACK,
    SYN | FIN,
    SYN | RST,
    0x18,
    0,
)
SERVICES, ENDPOINTS = 3, 4
SUBNET_V6 = IPv6Network("fd00:10::/96")
VLAN = 0x8100
SHORTEST = 34  # a test run takes no IPv4 frame that is shorter than its headers,
SHORTEST_IPV6 = 54  # nor one of IPv6


@dataclass(frozen=True, slots=True)
class PutService:
    number: int
    vpc: int
    ports: tuple[PortMapping, ...]
    backends: tuple[Backend, ...]
    affinity: Affinity = Affinity.NONE
    timeouts: Timeouts = PATIENT
    limits: Limits = UNLIMITED
    six: bool = False  # of IPv6, with all that leads there
    keeps: bool = False  # the source


@dataclass(frozen=True, slots=True)
class PutEndpoint:
    """`drain`: 0 no, 1 for ever, 2 it is over; `more` is how many further source addresses it has; `proxy` one of the
    services, if it is of its family, or nobody."""

    number: int
    vpc: int
    service: int
    address: int = 0
    source: int = 0
    admission: int = 1
    allowed: tuple[IPv4Network, ...] = (ANYWHERE,)
    drain: int = 0
    more: int = 0
    routes: tuple[Route, ...] = ()  # instead of the address
    proxy: int | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """Removes a service with all that leads there, or an endpoint."""

    kind: Kind
    number: int


@dataclass(frozen=True, slots=True)
class Lose:
    """The VPC's device goes out of use."""

    vpc: int


@dataclass(frozen=True, slots=True)
class Restore:
    vpc: int


@dataclass(frozen=True, slots=True)
class Fill:
    """Leaves room for so many entries in the table of sessions."""

    room: int


@dataclass(frozen=True, slots=True)
class Idle:
    """So many seconds pass without a packet, and then the agent collects what is over."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Opening:
    """From a client to an endpoint, by one of its published ports."""

    endpoint: int
    client: int
    port: int
    mapping: int
    flags: int = SYN
    to: int = 0  # so many addresses behind the first, where it has routes


@dataclass(frozen=True, slots=True)
class Following:
    """Of a session that is there: from its client, or from its backend."""

    session: int
    from_backend: bool
    flags: int


@dataclass(frozen=True, slots=True)
class Stray:
    """Of no session, between any addresses."""

    vpc: int
    source: IPv4Address
    destination: IPv4Address
    source_port: int
    destination_port: int
    protocol: int
    flags: int
    six: bool = False


@dataclass(frozen=True, slots=True)
class Arp:
    vpc: int
    operation: int
    sender: IPv4Address
    target: IPv4Address
    padding: int = 18


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Neighbour discovery; addresses are those that `in_six` makes of these."""

    vpc: int
    kind: int
    source: IPv4Address
    target: IPv4Address
    hops: int = 255
    code: int = 0
    padding: int = 0


@dataclass(frozen=True, slots=True)
class Twist:
    """What is wrong with a frame; nothing at first."""

    payload: bytes = b""
    tcp_options: bytes = b""
    ttl: int = 64
    options: bytes = b""
    fragment: int = 0
    version: int = 4
    missing: int = 0
    vpc: int | None = None  # it comes in by another's device
    to: bytes | None = None  # another MAC address
    ether_type: int | None = None
    cut: int | None = None  # bytes that are left of it
    padding: int = 0
    bytes_at: tuple[tuple[int, int], ...] = ()  # bytes of it that are something else


PLAIN = Twist()


@dataclass(frozen=True, slots=True)
class Send:
    packet: Opening | Following | Stray | Arp | Neighbour
    twist: Twist = PLAIN
    times: int = 1


Step = PutService | PutEndpoint | Drop | Lose | Restore | Fill | Idle | Send


def in_six(address: Address) -> IPv6Address:
    """The address in IPv6 that stands for one of IPv4: sources as they are derived, nobody's as nobody's."""
    if address in SOURCE_RANGE:
        return SOURCE_PREFIX_V6.network_address + int(address)
    if int(address) >> 24 in (0, 127):
        return IPv6Address(int(address) & 1)
    if int(address) >= int(IPv4Address("224.0.0.0")):
        return IPv6Address((0xFF02 << 112) + int(address))
    return SUBNET_V6.network_address + int(address)


def network_in_six(network: IPv4Network) -> IPv6Network:
    if not network.prefixlen:
        return ANYWHERE_V6
    return IPv6Network((int(SUBNET_V6.network_address) + int(network.network_address), 96 + network.prefixlen))


def route_in_six(route: Route) -> Route:
    assert isinstance(route.prefix, IPv4Network)
    return Route(network_in_six(route.prefix), route.denied, route.ports)
