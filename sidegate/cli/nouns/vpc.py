"""`sidegate vpc`: private networks."""

from collections.abc import Sequence
from typing import Annotated

import typer

from sidegate.api.registry.v1.vpc_pb2 import Vpc
from sidegate.cli import completing, parsing, resolve, tables
from sidegate.cli.command import Noun
from sidegate.cli.options import Description, NoTags, OneVpc, OtherDescription, Tags
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.session import Session
from sidegate.cli.view import View

noun = Noun("vpc", "Private networks. Two of them may use the same addresses.")
resolver = noun.part("resolver", "A VPC's DNS server, which gateways answer for: it knows the names of its endpoints.")


@noun.write(
    "create",
    "sidegate vpc create shop --cidr 10.0.0.0/24",
    "sidegate vpc create both --cidr 10.0.0.0/16 --cidr fd00:10::/48",
)
async def create(
    session: Session,
    *,
    name: Annotated[str, typer.Argument(help="Unique in the project.")],
    cidr: Annotated[
        list[str], typer.Option(metavar="CIDR", help="A range: IPv4, /8 to /28, or IPv6, /16 to /124; up to 8.")
    ],
    description: Description = "",
    tag: Tags = None,
) -> Vpc:
    """Create a VPC."""
    return await session.sidegate.vpcs.create(name, cidr, description=description, tags=tag or ())


@noun.verb("get", "sidegate vpc get shop", "sidegate vpc get 6f1c2a3b -o json")
async def get(session: Session, vpc: OneVpc) -> Vpc:
    """Show a VPC."""
    return await session.sidegate.vpcs.get(await resolve.vpc(session.sidegate, vpc))


@noun.verb("list", "sidegate vpc list", "sidegate vpc list -o json")
async def list_(session: Session) -> Sequence[Vpc]:
    """List the project's VPCs."""
    return [vpc async for vpc in session.sidegate.vpcs.list()]


@noun.write("update", "sidegate vpc update shop --name store", "sidegate vpc update shop --tag team=web", etag=True)
async def update(
    session: Session,
    *,
    vpc: OneVpc,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Another name.")] = None,
    cidr: Annotated[
        list[str] | None, typer.Option(metavar="CIDR", help="All ranges that it has from now on; once for each.")
    ] = None,
    description: OtherDescription = None,
    tag: Tags = None,
    no_tags: NoTags = False,
) -> Vpc:
    """Change a VPC's name, its ranges, which must still hold every subnet, or what is said of it."""
    tags = parsing.other_tags(tag, no_tags)
    if not cidr and tags is None and {name, description} == {None}:
        raise Complaint("nothing to change", Exit.USAGE, "name what is to be another: see --help")
    id = await resolve.vpc(session.sidegate, vpc)
    return await session.sidegate.vpcs.update(id, name=name, cidrs=cidr or None, description=description, tags=tags)


@noun.write("delete", "sidegate vpc delete shop", etag=True)
async def delete(session: Session, vpc: OneVpc) -> View:
    """Delete a VPC that has no subnets, services, or attachments that the operator made for it."""
    id = await resolve.vpc(session.sidegate, vpc)
    await session.sidegate.vpcs.delete(id)
    return tables.gone("vpc", id)


@resolver.write(
    "set",
    "sidegate vpc resolver set shop --subnet front",
    "sidegate vpc resolver set shop --subnet front --ip 10.0.0.53 --forward 9.9.9.9 --forward '[2620:fe::fe]:53'",
    etag=True,
)
async def set_resolver(
    session: Session,
    *,
    vpc: OneVpc,
    subnet: Annotated[
        str,
        typer.Option(
            metavar="SUBNET", help="Where its address is taken from, by name or id.", autocompletion=completing.subnet
        ),
    ],
    ip: Annotated[
        str, typer.Option(metavar="IP", help="The address wanted; else the one that it has there, or a free one.")
    ] = "",
    forward: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME_SERVER",
            help="Who is asked for other names, in order, up to 3, of those that the operator allows. None: refused.",
        ),
    ] = None,
) -> Vpc:
    """Give a VPC a DNS server, or change the one that it has: point the VPC's machines at its address."""
    id = await resolve.vpc(session.sidegate, vpc)
    of = await resolve.subnet(session.sidegate, subnet)
    return await session.sidegate.vpcs.set_resolver(id, of, address=ip, forwarders=forward or ())


@resolver.write("delete", "sidegate vpc resolver delete shop", etag=True)
async def delete_resolver(session: Session, vpc: OneVpc) -> Vpc:
    """Take a VPC's DNS server away: nobody answers at its address any more."""
    return await session.sidegate.vpcs.delete_resolver(await resolve.vpc(session.sidegate, vpc))
