"""How VPCs are reached: the attachment as a value, and the template that a cell has for those that tenants make."""

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address
from uuid import UUID

from services.common.errors import QuotaReached
from services.common.eventsourcing.store import Claim
from services.registry.domain.targets import Netns, Target, Vxlan

VPC_ID = "{vpc_id}"
TARGET = "attachment-target"
"""The kind of claims of what is reached; their keys begin with the cell."""


@dataclass(frozen=True, slots=True)
class Attachment:
    id: str
    vpc_id: str
    cell: str
    target: Target
    created_at: int


@dataclass(frozen=True, slots=True)
class NetnsPattern:
    """A namespace for each VPC: the pattern, with the VPC's id for {vpc_id}."""

    namespace: str
    device: str


@dataclass(frozen=True, slots=True)
class VxlanRange:
    """A segment for each VPC, from `first_vni` to `last_vni`; the rest is as in Vxlan."""

    first_vni: int
    last_vni: int
    port: int
    remotes: tuple[IPv4Address, ...]
    local: IPv4Address | None
    mtu: int


Template = NetnsPattern | VxlanRange


@dataclass(frozen=True, slots=True)
class DefaultAttachment:
    """How VPCs are attached in a cell that tenants make after it was set."""

    cell: str
    template: Template
    set_at: int


def target_for(default: DefaultAttachment, vpc_id: str, taken: Collection[str]) -> Target:
    """What a VPC gets of its own. `taken` are the keys of the cell's claims of targets. Raises QuotaReached."""
    match default.template:
        case NetnsPattern(pattern, device):
            return Netns(pattern.replace(VPC_ID, vpc_id), device)
        case VxlanRange() as range_:
            return _segment(range_, default.cell, vpc_id, taken)


def claims(attachment: Attachment) -> tuple[Claim, ...]:
    """Held while the attachment is there."""
    return (
        target_claim(attachment.cell, attachment.target),
        Claim("attachment-vpc", f"{attachment.cell}/{attachment.vpc_id}"),
    )


def target_claim(cell: str, target: Target | str) -> Claim:
    """What is reached in a cell. With an empty target its key is the prefix of all of them."""
    return Claim(TARGET, f"{cell}/{target}")


def _segment(range_: VxlanRange, cell: str, vpc_id: str, taken: Collection[str]) -> Vxlan:
    """The first free segment from a place on that the VPC's id decides, so that many at once seldom choose the same."""
    size = range_.last_vni - range_.first_vni + 1
    start = UUID(vpc_id).int % size
    for step in range(size):
        vni = range_.first_vni + (start + step) % size
        segment = Vxlan(vni, range_.port, range_.remotes, range_.local, range_.mtu)
        if target_claim(cell, segment).key not in taken:
            return segment
    raise QuotaReached("NETWORKS_FULL", "no network is left for another VPC: ask the operator for more")
