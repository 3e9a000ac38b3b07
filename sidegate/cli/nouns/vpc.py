"""`sidegate vpc`: private networks."""

from collections.abc import Sequence
from typing import Annotated

import typer

from sidegate.api.registry.v1.vpc_pb2 import Vpc
from sidegate.cli import resolve, tables
from sidegate.cli.command import Noun
from sidegate.cli.options import OneVpc
from sidegate.cli.session import Session
from sidegate.cli.view import View

noun = Noun("vpc", "Private networks. Two of them may use the same addresses.")


@noun.verb("create", "sidegate vpc create shop --cidr 10.0.0.0/24")
async def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="Unique in the project.")],
    cidr: Annotated[list[str], typer.Option(metavar="CIDR", help="An IPv4 range, /8 to /28; once for each, up to 8.")],
) -> Vpc:
    """Create a VPC."""
    return await session.sidegate.vpcs.create(name, cidr)


@noun.verb("get", "sidegate vpc get shop", "sidegate vpc get 6f1c2a3b -o json")
async def get(session: Session, vpc: OneVpc) -> Vpc:
    """Show a VPC."""
    return await session.sidegate.vpcs.get(await resolve.vpc(session.sidegate, vpc))


@noun.verb("list", "sidegate vpc list", "sidegate vpc list -o json")
async def list_(session: Session) -> Sequence[Vpc]:
    """List the project's VPCs."""
    return [vpc async for vpc in session.sidegate.vpcs.list()]


@noun.verb("delete", "sidegate vpc delete shop")
async def delete(session: Session, vpc: OneVpc) -> View:
    """Delete a VPC that has no subnets, services or attachments."""
    id = await resolve.vpc(session.sidegate, vpc)
    await session.sidegate.vpcs.delete(id)
    return tables.gone("vpc", id)
