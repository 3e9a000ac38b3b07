"""`sidegate subnet`: parts of VPCs in which addresses are given out."""

from collections.abc import Sequence
from typing import Annotated

import typer

from sidegate.api.registry.v1.vpc_pb2 import Subnet
from sidegate.cli import parsing, resolve, tables
from sidegate.cli.command import Noun
from sidegate.cli.options import Description, InVpc, NoTags, OfVpc, OneSubnet, OtherDescription, Tags
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.session import Session
from sidegate.cli.view import View

noun = Noun("subnet", "Parts of a VPC in which addresses are given out.")


@noun.write(
    "create",
    "sidegate subnet create front --vpc shop --cidr 10.0.0.0/25",
    "sidegate subnet create front6 --vpc both --cidr fd00:10::/64",
)
async def create(
    session: Session,
    *,
    name: Annotated[str, typer.Argument(help="Unique in the VPC.")],
    vpc: InVpc,
    cidr: Annotated[
        str, typer.Option(metavar="CIDR", help="A range of the VPC's, IPv4 or IPv6, apart from its other subnets.")
    ],
    description: Description = "",
    tag: Tags = None,
) -> Subnet:
    """Create a subnet."""
    vpc_id = await resolve.vpc(session.sidegate, vpc)
    return await session.sidegate.subnets.create(name, vpc_id, cidr, description=description, tags=tag or ())


@noun.verb("get", "sidegate subnet get front")
async def get(session: Session, subnet: OneSubnet) -> Subnet:
    """Show a subnet."""
    return await session.sidegate.subnets.get(await resolve.subnet(session.sidegate, subnet))


@noun.verb("list", "sidegate subnet list", "sidegate subnet list --vpc shop")
async def list_(session: Session, vpc: OfVpc = "") -> Sequence[Subnet]:
    """List the project's subnets."""
    vpc_id = await resolve.vpc(session.sidegate, vpc) if vpc else ""
    return [subnet async for subnet in session.sidegate.subnets.list(vpc_id)]


@noun.write("update", "sidegate subnet update front --name window", "sidegate subnet update front --no-tags", etag=True)
async def update(
    session: Session,
    *,
    subnet: OneSubnet,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Another name.")] = None,
    description: OtherDescription = None,
    tag: Tags = None,
    no_tags: NoTags = False,
) -> Subnet:
    """Change a subnet's name, or what is said of it."""
    tags = parsing.other_tags(tag, no_tags)
    if tags is None and {name, description} == {None}:
        raise Complaint("nothing to change", Exit.USAGE, "name what is to be another: see --help")
    id = await resolve.subnet(session.sidegate, subnet)
    return await session.sidegate.subnets.update(id, name=name, description=description, tags=tags)


@noun.write("delete", "sidegate subnet delete front", etag=True)
async def delete(session: Session, subnet: OneSubnet) -> View:
    """Delete a subnet in which no address is in use."""
    id = await resolve.subnet(session.sidegate, subnet)
    await session.sidegate.subnets.delete(id)
    return tables.gone("subnet", id)
