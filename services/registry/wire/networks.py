"""VPCs and subnets as callers ask for them, and for changes of them."""

import re
from collections.abc import Collection, Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from services.common.addressing import Address, Network
from services.common.errors import Invalid
from services.common.labels import description_of
from services.registry.domain.addresses import parse_address, parse_cidr
from services.registry.domain.network import Subnet
from services.registry.domain.vpc_commands import Change, ChangeSubnet
from services.registry.wire.profiles import parse_tags
from sidegate.api.registry.v1 import vpc_pb2

VPC_FIELDS = ("name", "cidrs", "description", "tags")
SUBNET_FIELDS = ("name", "description", "tags", "dns_servers", "dhcp_enabled")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
MOST_CIDRS, MOST_SERVERS = 8, 5
"""As the contract has it, which looks at what is created, and cannot know which fields are to change."""


def paths_of(mask: FieldMask, changeable: Collection[str]) -> frozenset[str]:
    """The fields that are to change. Raises Invalid for none, and for others than may."""
    paths = frozenset(mask.paths)
    if not paths or not paths.issubset(changeable):
        named = ", ".join(sorted(paths.difference(changeable))) or "nothing"
        text = f"update_mask names {named}: name one or more of {', '.join(changeable)}"
        raise Invalid("UPDATE_MASK_INVALID", text, field="update_mask")
    return paths


def parse_subnet(wanted: vpc_pb2.Subnet, id_: str, at: int) -> Subnet:
    return Subnet(
        id=id_,
        name=wanted.name,
        cidr=parse_cidr(wanted.cidr, "subnet.cidr"),
        created_at=at,
        description=description_of(wanted.description, "subnet.description"),
        tags=parse_tags(wanted.tags, "subnet.tags"),
        dns_servers=_servers(wanted.dns_servers),
        dhcp_enabled=wanted.dhcp_enabled,
        availability_zone=wanted.availability_zone,
    )


def parse_cidrs(texts: Sequence[str]) -> tuple[Network, ...]:
    """1 to 8 ranges. Raises Invalid."""
    if not 1 <= len(texts) <= MOST_CIDRS:
        raise Invalid("FIELD_INVALID", f"a VPC has 1 to {MOST_CIDRS} ranges, not {len(texts)}", field="vpc.cidrs")
    return tuple(parse_cidr(text, f"vpc.cidrs[{index}]") for index, text in enumerate(texts))


def parse_change(wanted: vpc_pb2.Vpc, paths: Collection[str]) -> Change:
    return Change(
        name=name_of(wanted.name, "vpc.name") if "name" in paths else None,
        cidrs=parse_cidrs(wanted.cidrs) if "cidrs" in paths else None,
        description=description_of(wanted.description, "vpc.description") if "description" in paths else None,
        tags=parse_tags(wanted.tags, "vpc.tags") if "tags" in paths else None,
    )


def parse_subnet_change(wanted: vpc_pb2.Subnet, paths: Collection[str]) -> ChangeSubnet:
    return ChangeSubnet(
        subnet_id=wanted.id,
        name=name_of(wanted.name, "subnet.name") if "name" in paths else None,
        description=description_of(wanted.description, "subnet.description") if "description" in paths else None,
        tags=parse_tags(wanted.tags, "subnet.tags") if "tags" in paths else None,
        dns_servers=_servers(wanted.dns_servers) if "dns_servers" in paths else None,
        dhcp_enabled=wanted.dhcp_enabled if "dhcp_enabled" in paths else None,
    )


def name_of(text: str, field: str) -> str:
    if not NAME.fullmatch(text):
        what = "1 to 63 letters, digits, '_' and '-', beginning with a letter or digit"
        raise Invalid("FIELD_INVALID", f"a name has {what}", field=field)
    return text


def _servers(texts: Sequence[str]) -> tuple[Address, ...]:
    if len(texts) > MOST_SERVERS:
        text = f"a subnet has {MOST_SERVERS} name servers at most, not {len(texts)}"
        raise Invalid("FIELD_INVALID", text, field="subnet.dns_servers")
    return tuple(parse_address(text, "subnet.dns_servers") for text in texts)
