"""What a service is, what it decides by itself and what it grants, as options of the command line."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from sidegate.api.registry.v1.endpoint_service_pb2 import ApprovalRules, Backend, ConsumerLimits, EndpointService
from sidegate.api.registry.v1.tag_pb2 import Tag
from sidegate.cli import parsing
from sidegate.cli.groups import Group
from sidegate.cli.identities import Identity


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


OfType = Annotated[
    Type,
    typer.Option(
        "--type", help="How endpoints are reached: by an address, or by routes to public prefixes, the operator's."
    ),
]
Prefixes = Annotated[
    list[str] | None,
    typer.Option(
        "--prefix",
        metavar="CIDR",
        help="Of a gateway: a range whose every address leads to the backends; once for each, up to 32.",
    ),
]
TYPES = dict(zip(Type, EndpointService.ServiceType.values()[1:], strict=True))
SERVERS = dict(zip(Servers, EndpointService.ServerType.values()[1:], strict=True))


@dataclass(frozen=True)
class RuleOptions(Group):
    """What is decided without the owner."""

    accept_account: Annotated[
        list[str] | None,
        typer.Option("--accept-account", metavar="ACCOUNT", help="Accept its connections at once; once for each."),
    ] = None
    accept_tag: Annotated[
        list[Tag] | None,
        typer.Option(
            "--accept-tag", metavar="KEY[=VALUE]", parser=parsing.tag, help="Accept endpoints with this tag at once."
        ),
    ] = None
    pending: Annotated[
        int | None,
        typer.Option("--expire-pending", min=0, metavar="SECONDS", help="Reject requests that wait longer."),
    ] = None
    accepted: Annotated[
        int | None,
        typer.Option(
            "--accept-for", min=0, metavar="SECONDS", help="Reject connections this long after they were accepted."
        ),
    ] = None

    @property
    def rules(self) -> ApprovalRules | None:
        """All of them; None where none is named."""
        if not self.accept_account and not self.accept_tag and self.pending is None and self.accepted is None:
            return None
        return ApprovalRules(
            accept_accounts=self.accept_account,
            accept_tags=self.accept_tag,
            pending_seconds=self.pending or 0,
            accepted_seconds=self.accepted or 0,
        )


@dataclass(frozen=True)
class LimitOptions(Group):
    """What each consumer may take. What is None is not said."""

    account_endpoints: Annotated[
        int | None,
        typer.Option("--account-endpoints", min=0, metavar="N", help="How many endpoints an account may have; 0: any."),
    ] = None
    connections: Annotated[
        int | None,
        typer.Option(
            "--connections",
            metavar="N",
            parser=parsing.number,
            help="How many sessions an endpoint may have open on a gateway, such as 5000 or 10k; 0: any.",
        ),
    ] = None
    new_connections: Annotated[
        int | None,
        typer.Option(
            "--new-connections", metavar="N", parser=parsing.number, help="How many it may open in a second; 0: any."
        ),
    ] = None
    bits: Annotated[
        int | None,
        typer.Option(
            "--bits",
            metavar="N",
            parser=parsing.number,
            help="Bits in a second, both directions together, such as 100M or 10G; 0: any.",
        ),
    ] = None

    @property
    def said(self) -> bool:
        return self != LimitOptions()

    def over(self, known: ConsumerLimits) -> ConsumerLimits | None:
        """What is known, with what is said in its place; None where nothing is said."""
        if not self.said:
            return None
        made = ConsumerLimits()
        made.CopyFrom(known)
        numbers = {
            "endpoints_per_account": self.account_endpoints,
            "connections": self.connections,
            "new_connections_per_second": self.new_connections,
            "bits_per_second": self.bits,
        }
        for name, value in numbers.items():
            if value is not None:
                setattr(made, name, value)
        return made


Permissions = Annotated[
    list[str], typer.Argument(metavar="PERMISSION...", help="iam:domain::ACCOUNT, or 'iam:domain::*' for everybody.")
]

Weights = Annotated[
    list[Backend],
    typer.Argument(metavar="IP=WEIGHT...", parser=parsing.weight, help="Backends and their weights, 1 to 100."),
]

OneIdentity = Annotated[
    Identity,
    typer.Option("--client-identity", help="What backends learn of clients, on TCP ports that do not say otherwise."),
]
OtherIdentity = Annotated[
    Identity | None,
    typer.Option("--client-identity", help="What backends learn of clients, on TCP ports that do not say otherwise."),
]
OnePrivateName = Annotated[
    str,
    typer.Option(
        "--private-name",
        metavar="NAME",
        help="A DNS name of yours for it, such as api.example.com; then `verify-name` it.",
    ),
]
OtherPrivateName = Annotated[
    str | None,
    typer.Option(
        "--private-name", metavar="NAME", help="Another DNS name, to be verified; '' for none. Endpoints keep theirs."
    ),
]
