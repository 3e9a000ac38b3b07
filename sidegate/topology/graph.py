"""The graph: networks, what is in them, and what leads where. Plain values, for whoever draws them."""

from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """How something is, in one of four colours."""

    GOOD = "good"
    WAITING = "waiting"
    BAD = "bad"
    PLAIN = "plain"


MEANINGS = {
    Tone.GOOD: "packets pass; well",
    Tone.WAITING: "not decided, under way, or not known",
    Tone.BAD: "no packet passes; not well",
    Tone.PLAIN: "has no state",
}
"""The legend."""


@dataclass(frozen=True, slots=True)
class Port:
    """An address in a subnet that a machine holds."""

    id: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Subnet:
    id: str
    name: str
    cidr: str
    route_table: str
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Attachment:
    """How gateways of a cell reach a VPC."""

    id: str
    cell: str
    target: str


@dataclass(frozen=True, slots=True)
class Vpc:
    """A private network. `others` are addresses in it that backends have and no port holds."""

    id: str
    name: str
    owner: str
    cidrs: tuple[str, ...]
    resolver: str
    subnets: tuple[Subnet, ...]
    others: tuple[str, ...]
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a service's connections end; `port_id` is the port that holds the address, where one does."""

    address: str
    port_id: str
    weight: int
    draining: bool
    health: str
    tone: Tone
    reason: str


@dataclass(frozen=True, slots=True)
class Service:
    """What is published. Of another's only the name is known, and the ports."""

    id: str
    name: str
    full_name: str
    owner: str
    vpc_id: str
    kind: str
    ports: tuple[str, ...]
    public_prefixes: tuple[str, ...]
    private_name: str
    client_identity: str
    approval: bool
    state: str
    tone: Tone
    backends: tuple[Backend, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A consumer's way to a service: an address, or, without one, routes to prefixes.

    `outside` are clients that are let in from beyond the VPC's own ranges.
    """

    id: str
    name: str
    owner: str
    vpc_id: str
    subnet_id: str
    address: str
    service_id: str
    marker: int
    clients: tuple[str, ...]
    outside: tuple[str, ...]
    public_prefixes: tuple[str, ...]
    route_tables: tuple[str, ...]
    dns_names: tuple[str, ...]
    state: str
    tone: Tone
    reason: str


@dataclass(frozen=True, slots=True)
class Connection:
    """From an endpoint to a service. `account` is the consumer's, where the service's owner looks."""

    endpoint_id: str
    service_id: str
    account: str
    marker: int
    state: str
    tone: Tone
    reason: str


@dataclass(frozen=True, slots=True)
class Gateway:
    id: str
    state: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Cell:
    """Gateways that forward the same; `gateways` are those that are known of here."""

    name: str
    gateways: tuple[Gateway, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """All that the caller may see, and nothing else. Ids are those of the contract."""

    viewer: str
    vpcs: tuple[Vpc, ...]
    services: tuple[Service, ...]
    endpoints: tuple[Endpoint, ...]
    connections: tuple[Connection, ...]
    cells: tuple[Cell, ...]
