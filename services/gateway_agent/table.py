"""The forwarding table as values: what a gateway forwards, without slots, epochs, or hardware addresses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from services.gateway_agent.targets import Target

ANYWHERE = IPv4Network("0.0.0.0/0")


class Kind(StrEnum):
    """The kinds of entries, in the order in which they are put into a table."""

    ATTACHMENT = "attachment"
    SERVICE = "service"
    ENDPOINT = "endpoint"


class Protocol(StrEnum):
    TCP = "tcp"
    UDP = "udp"


class Key(NamedTuple):
    """What names one entry in a table: its kind and the UUID of its VPC, service or endpoint."""

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


@dataclass(frozen=True, slots=True, order=True)
class PortMapping:
    """Connections to `client_port` of an endpoint go to `server_port` of a backend (1 to 65535)."""

    client_port: int
    server_port: int
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class Backend:
    """Where connections end: new ones in proportion to its weight (1 to 100), and none while it is draining."""

    address: IPv4Address
    weight: int = 1
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """Where an endpoint leads: backends in the provider's VPC, each once, and the published ports."""

    id: str
    vpc: str
    ports: tuple[PortMapping, ...]
    backends: tuple[Backend, ...]

    @property
    def key(self) -> Key:
        return Key(Kind.SERVICE, self.id)

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset({Key(Kind.ATTACHMENT, self.vpc)})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of a consumer's VPC that leads to a service.

    `admission` counts the approvals of the endpoint: another number means that it was rejected in between,
    so the sessions of the earlier admission must be cut. `source_address` is what backends see. An endpoint that is
    draining opens no session; those that are open go on until then (nanoseconds since the epoch; 0: it is not).
    """

    id: str
    marker: int
    vpc: str
    address: IPv4Address
    service: str
    source_address: IPv4Address
    admission: int
    allowed: tuple[IPv4Network, ...] = (ANYWHERE,)
    draining_until: int = 0

    @property
    def key(self) -> Key:
        return Key(Kind.ENDPOINT, self.id)

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset({Key(Kind.ATTACHMENT, self.vpc), Key(Kind.SERVICE, self.service)})


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
