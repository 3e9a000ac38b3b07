"""The forwarding table as values: what a gateway forwards, without slots, epochs, or hardware addresses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from services.common.name_servers import NameServer
from services.gateway_agent.targets import Target

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ANYWHERE = IPv4Network("0.0.0.0/0")
ANYWHERE_V6 = IPv6Network("::/0")
SOURCE_RANGE = IPv4Network("198.19.128.0/17")
SOURCE_PREFIX_V6 = IPv6Network("fd73:6964:6567:6174::/96")  # an IPv6 source address ends with the leased IPv4 address


def everybody(version: int) -> tuple[Network, ...]:
    """The whitelist that lets all clients in."""
    return (ANYWHERE,) if version == ANYWHERE.version else (ANYWHERE_V6,)


def seen_as(source: IPv4Address, version: int) -> Address:
    """A leased source address as backends of this IP version see it."""
    return source if version == source.version else SOURCE_PREFIX_V6.network_address + int(source)


class Kind(StrEnum):
    """The kinds of entries, in the order in which they are put into a table."""

    ATTACHMENT = "attachment"
    SERVICE = "service"
    ENDPOINT = "endpoint"
    RESOLVER = "resolver"  # in no table: what it takes of one is entries of the other kinds


class Protocol(StrEnum):
    TCP = "tcp"
    UDP = "udp"


class Key(NamedTuple):
    """What names one entry: its kind and the UUID of its VPC, service or endpoint."""

    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """How this gateway reaches a VPC."""

    vpc: str
    target: Target

    @property
    def key(self) -> Key:
        return Key(Kind.ATTACHMENT, self.vpc)

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset()


class ClientIdentity(StrEnum):
    """What backends learn of a client on a port, beside the source address."""

    NONE = "none"
    TOA = "toa"  # the client's address and port in a TCP option of the SYN
    PROXY = "proxy"  # a PROXY protocol header: new sessions go to the endpoint's `proxy`


@dataclass(frozen=True, slots=True, order=True)
class PortMapping:
    """Connections to `client_port` of an endpoint go to `server_port` of a backend (1 to 65535)."""

    client_port: int
    server_port: int
    protocol: Protocol
    identity: ClientIdentity = ClientIdentity.NONE


@dataclass(frozen=True, slots=True)
class Backend:
    """Where connections end: new ones in proportion to its weight (1 to 100), and none while it is draining."""

    address: Address
    weight: int = 1
    draining: bool = False


class Affinity(StrEnum):
    """What a new session's backend depends on."""

    NONE = "none"  # the session's addresses and ports: every session for itself
    SOURCE_ADDRESS = (
        "source_address"  # the client's address and the endpoint: the same backend as long as it takes sessions
    )


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds without a packet in either direction after which a session is removed."""

    tcp_established: int = 350
    tcp_half_open: int = 30
    tcp_closed: int = 10
    udp_two_way: int = 120
    udp_one_way: int = 30


@dataclass(frozen=True, slots=True)
class Limits:
    """What each endpoint of a service may take; 0 is no limit."""

    connections: int = 0  # sessions that are open at once
    new_connections_per_second: int = 0
    bits_per_second: int = 0  # of both directions together


class HealthProtocol(StrEnum):
    TCP = "tcp"  # a connection is accepted
    HTTP = "http"  # GET is answered by one of the statuses


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How backends are asked whether they are well; `interval` and `timeout` in seconds."""

    protocol: HealthProtocol
    port: int
    path: str = "/"
    statuses: tuple[int, int] = (200, 399)  # first and last
    interval: int = 5
    timeout: int = 2
    healthy_after: int = 2  # as many answers one after another
    unhealthy_after: int = 2  # as many failures one after another


@dataclass(frozen=True, slots=True)
class Service:
    """Where an endpoint leads: backends in the provider's VPC, each once, and the published ports.

    All backends are of one family, IPv4 or IPv6, and so are the endpoints that lead there. With `reset_expired` a TCP
    segment that belongs to no session is answered with RST. A service that keeps the source is in an annex: who is
    there sees the client's own address and port, since an annex has the clients of one VPC alone.
    """

    id: str
    vpc: str
    ports: tuple[PortMapping, ...]
    backends: tuple[Backend, ...]
    timeouts: Timeouts = Timeouts()
    affinity: Affinity = Affinity.NONE
    limits: Limits = Limits()
    reset_expired: bool = False
    health_check: HealthCheck | None = None
    keeps_source: bool = False

    @property
    def key(self) -> Key:
        return Key(Kind.SERVICE, self.id)

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset({Key(Kind.ATTACHMENT, self.vpc)})


@dataclass(frozen=True, slots=True)
class Route:
    """A range of addresses that leads to an endpoint's service, on these client ports (all, where there are none); or
    does not. Of several that an address is in, the longest counts."""

    prefix: Network
    denied: bool = False
    ports: tuple[tuple[Protocol, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of a consumer's VPC that leads to a service, or routes that do.

    One with `routes` is reached by every address of theirs; its `address` is then the first of its first route's, which
    stands for it. New sessions to ports whose identity is PROXY go to `proxy`, a service of the VPC's annex, and to
    nobody where that is empty; where it is the endpoint's own service, to that service's backends like all others.

    `admission` counts the approvals of the endpoint: another number means that it was rejected in between,
    so the sessions of the earlier admission must be cut. `source_address` is what backends see, or one of
    `more_sources`, each of which adds 64,512 sessions to each port of a backend; in IPv6, the address in
    SOURCE_PREFIX_V6 that ends with it. An endpoint that is draining opens no session; those that are open go on until
    then (nanoseconds since the epoch; 0: it is not).
    """

    id: str
    marker: int
    vpc: str
    address: Address
    service: str
    source_address: IPv4Address
    admission: int
    allowed: tuple[Network, ...] = (ANYWHERE,)
    draining_until: int = 0
    more_sources: tuple[IPv4Address, ...] = ()
    routes: tuple[Route, ...] = ()
    proxy: str = ""

    @property
    def key(self) -> Key:
        return Key(Kind.ENDPOINT, self.id)

    @property
    def needs(self) -> frozenset[Key]:
        services = {Key(Kind.SERVICE, service) for service in (self.service, self.proxy) if service}
        return frozenset({Key(Kind.ATTACHMENT, self.vpc), *services})


@dataclass(frozen=True, slots=True)
class Resolver:
    """A VPC's DNS server: names of its endpoints are below `zone`, and forwarders are asked for others, in order.

    Without forwarders they are refused.
    """

    vpc: str
    address: Address
    forwarders: tuple[NameServer, ...]
    zone: str

    @property
    def key(self) -> Key:
        return Key(Kind.RESOLVER, self.vpc)

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset({Key(Kind.ATTACHMENT, self.vpc)})


Entry = Attachment | Service | Endpoint


@dataclass(frozen=True, slots=True)
class ForwardingTable:
    """A whole table; two are equal when they forward the same."""

    entries: Mapping[Key, Entry] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "ForwardingTable":
        return cls({entry.key: entry for entry in entries})


@dataclass(frozen=True, slots=True)
class Put:
    """Make the entry be in the table as it stands here, whatever was there under its key."""

    entry: Entry

    @property
    def key(self) -> Key:
        return self.entry.key


@dataclass(frozen=True, slots=True)
class Remove:
    """Make nothing of the key be in the table; sessions of a removed endpoint are cut at once."""

    key: Key


Change = Put | Remove
