"""What a service is, what it decides by itself and what it grants, as options of the command line."""

from enum import StrEnum
from typing import Annotated

import typer

from sidegate.api.registry.v1.endpoint_service_pb2 import ApprovalRules, ConsumerLimits, EndpointService
from sidegate.api.registry.v1.tag_pb2 import Tag
from sidegate.cli import parsing


class Identity(StrEnum):
    """What backends are to learn of clients."""

    NONE = "none"
    TOA = "toa"
    PROXY = "proxy"
    TOA_PROXY = "toa+proxy"
    PROXY_MARKER = "proxy+marker"


class Type(StrEnum):
    """How endpoints are reached."""

    INTERFACE = "interface"
    GATEWAY = "gateway"


class Servers(StrEnum):
    """What backends are."""

    VM = "vm"
    LB = "lb"
    VIP = "vip"
    CLOUD = "cloud"


IDENTITIES = dict(zip(Identity, EndpointService.ClientIdentity.values()[1:], strict=True))
TYPES = dict(zip(Type, EndpointService.ServiceType.values()[1:], strict=True))
SERVERS = dict(zip(Servers, EndpointService.ServerType.values()[1:], strict=True))

AcceptAccounts = Annotated[
    list[str] | None,
    typer.Option("--accept-account", metavar="ACCOUNT", help="Accept its connections at once; once for each."),
]
AcceptTags = Annotated[
    list[Tag] | None,
    typer.Option(
        "--accept-tag", metavar="KEY[=VALUE]", parser=parsing.tag, help="Accept endpoints with this tag at once."
    ),
]
Pending = Annotated[
    int | None, typer.Option("--expire-pending", min=0, metavar="SECONDS", help="Reject requests that wait longer.")
]
Accepted = Annotated[
    int | None,
    typer.Option(
        "--accept-for", min=0, metavar="SECONDS", help="Reject connections this long after they were accepted."
    ),
]

AccountEndpoints = Annotated[
    int | None,
    typer.Option("--account-endpoints", min=0, metavar="N", help="How many endpoints an account may have; 0: any."),
]

Connections = Annotated[
    int | None,
    typer.Option("--connections", min=0, metavar="N", help="Open sessions of an endpoint: kept, not enforced yet."),
]
NewConnections = Annotated[
    int | None,
    typer.Option("--new-connections", min=0, metavar="N", help="New sessions in a second: kept, not enforced yet."),
]
Bits = Annotated[
    int | None, typer.Option("--bits", min=0, metavar="N", help="Bits in a second: kept, not enforced yet.")
]


def limits_of(
    endpoints: int | None, connections: int | None, new_connections: int | None, bits: int | None
) -> ConsumerLimits | None:
    """What each consumer may take, as a whole; None where nothing is said."""
    if endpoints is connections is new_connections is bits is None:
        return None
    return ConsumerLimits(
        endpoints_per_account=endpoints or 0,
        connections=connections or 0,
        new_connections_per_second=new_connections or 0,
        bits_per_second=bits or 0,
    )


def rules_of(
    accounts: list[str] | None, tags: list[Tag] | None, pending: int | None, accepted: int | None
) -> ApprovalRules | None:
    """The rules of approval, as a whole; None where none is named."""
    if not accounts and not tags and pending is None and accepted is None:
        return None
    return ApprovalRules(
        accept_accounts=accounts, accept_tags=tags, pending_seconds=pending or 0, accepted_seconds=accepted or 0
    )
