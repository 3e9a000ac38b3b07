"""VPCs, subnets and route tables as values."""

from dataclasses import dataclass

from services.common.addressing import Address, Network
from services.common.labels import Tag
from services.common.name_servers import NameServer
from services.common.principal import Principal
from services.registry.domain.reach import Attachment


@dataclass(frozen=True, slots=True)
class Subnet:
    id: str
    name: str
    cidr: Network
    created_at: int
    description: str = ""
    tags: tuple[Tag, ...] = ()
    dns_servers: tuple[Address, ...] = ()
    dhcp_enabled: bool = False
    availability_zone: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """The address of a VPC's resolver, which is a port; when it was taken (ns since the epoch)."""

    port_id: str
    subnet_id: str
    address: Address
    created_at: int


@dataclass(frozen=True, slots=True)
class Resolver:
    """Where a VPC's machines ask for names, and who is asked for those that are not Sidegate's: nobody, without any."""

    place: Place
    forwarders: tuple[NameServer, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteTable:
    """One that the owner made. Subnets of none of these belong to the VPC's default one, which is not kept."""

    id: str
    name: str
    created_at: int
    subnets: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class RouteHold:
    """An endpoint's routes to the public prefixes of its service, in tables of the VPC. `at` is when they were last
    reserved: they may be reserved again before the endpoint is there.
    """

    endpoint: str
    owner: Principal
    service: str
    tables: tuple[str, ...]
    prefixes: tuple[Network, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Vpc:
    """`revision` counts the events of the VPC, of its subnets, of its resolver and of its attachments by default."""

    id: str
    owner: Principal
    name: str
    cidrs: tuple[Network, ...]
    created_at: int
    description: str = ""
    tags: tuple[Tag, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    route_tables: tuple[RouteTable, ...] = ()
    route_holds: tuple[RouteHold, ...] = ()
    revision: int = 1
    resolver: Resolver | None = None
