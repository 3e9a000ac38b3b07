"""VPCs and subnets as values."""

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
    revision: int = 1
    resolver: Resolver | None = None
