"""`sidegate port`: addresses in use."""

from collections.abc import Sequence
from typing import Annotated

import typer

from sidegate.api.registry.v1.vpc_pb2 import Port
from sidegate.cli import completing, resolve, tables
from sidegate.cli.command import Noun
from sidegate.cli.options import OnePort
from sidegate.cli.session import Session
from sidegate.cli.view import View

noun = Noun("port", "Addresses of subnets, each with one holder.")


@noun.write(
    "create",
    "sidegate port create --subnet front --holder machine/web",
    "sidegate port create --subnet front --holder machine/web --ip 10.0.0.10",
)
async def create(
    session: Session,
    subnet: Annotated[
        str,
        typer.Option(
            metavar="SUBNET",
            help="The subnet, by name or id.",
            autocompletion=completing.subnet,
        ),
    ],
    holder: Annotated[str, typer.Option(metavar="machine/NAME", help="Who has the address.")],
    ip: Annotated[str, typer.Option(metavar="IP", help="The address wanted; else a free one of the subnet.")] = "",
) -> Port:
    """Take an address for a machine."""
    return await session.sidegate.ports.create(await resolve.subnet(session.sidegate, subnet), holder, ip)


@noun.verb("get", "sidegate port get 6f1c2a3b")
async def get(session: Session, port: OnePort) -> Port:
    """Show a port."""
    return await session.sidegate.ports.get(await resolve.port(session.sidegate, port))


@noun.verb("list", "sidegate port list", "sidegate port list --subnet front")
async def list_(
    session: Session,
    subnet: Annotated[
        str,
        typer.Option(
            metavar="SUBNET",
            help="Only those of this subnet.",
            autocompletion=completing.subnet,
        ),
    ] = "",
) -> Sequence[Port]:
    """List the project's ports."""
    subnet_id = await resolve.subnet(session.sidegate, subnet) if subnet else ""
    return [port async for port in session.sidegate.ports.list(subnet_id)]


@noun.write("delete", "sidegate port delete 6f1c2a3b")
async def delete(session: Session, port: OnePort) -> View:
    """Give a machine's address back. An endpoint's goes with the endpoint."""
    id = await resolve.port(session.sidegate, port)
    await session.sidegate.ports.delete(id)
    return tables.gone("port", id)
