"""VPCs and subnets as values."""

from dataclasses import dataclass

from services.common.addressing import Address, Network
from services.common.labels import Tag
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
class Vpc:
    """`revision` counts the events of the VPC, of its subnets and of its attachments by default."""

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
