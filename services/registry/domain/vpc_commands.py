"""What VPCs are told."""

from dataclasses import dataclass

from services.common.addressing import Address, Network
from services.common.labels import Tag
from services.registry.domain.network import Resolver, Subnet, Vpc
from services.registry.domain.reach import Attachment
from services.registry.domain.route_commands import RouteCommand


@dataclass(frozen=True, slots=True)
class Create:
    """`attachments` are those that it has by default from the beginning."""

    vpc: Vpc
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What is None stays."""

    name: str | None = None
    cidrs: tuple[Network, ...] | None = None
    description: str | None = None
    tags: tuple[Tag, ...] | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    pass


@dataclass(frozen=True, slots=True)
class CreateSubnet:
    subnet: Subnet


@dataclass(frozen=True, slots=True)
class ChangeSubnet:
    """What is None stays."""

    subnet_id: str
    name: str | None = None
    description: str | None = None
    tags: tuple[Tag, ...] | None = None
    dns_servers: tuple[Address, ...] | None = None
    dhcp_enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class DeleteSubnet:
    subnet_id: str


@dataclass(frozen=True, slots=True)
class Detach:
    """Takes an attachment away that the VPC has by default."""

    attachment_id: str


@dataclass(frozen=True, slots=True)
class SetResolver:
    resolver: Resolver


@dataclass(frozen=True, slots=True)
class DeleteResolver:
    pass


SubnetCommand = CreateSubnet | ChangeSubnet | DeleteSubnet
Command = Create | Change | Delete | SubnetCommand | Detach | SetResolver | DeleteResolver | RouteCommand
