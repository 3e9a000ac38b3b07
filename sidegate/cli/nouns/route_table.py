"""`sidegate route-table`: which subnets of a VPC have which routes of gateway-type endpoints."""

from collections.abc import Sequence
from typing import Annotated

import typer

from sidegate.api.registry.v1.vpc_pb2 import RouteTable
from sidegate.cli import completing, resolve, tables
from sidegate.cli.command import Noun
from sidegate.cli.options import Description, InVpc, OfVpc, OtherDescription
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.session import Session
from sidegate.cli.view import View

noun = Noun(
    "route-table", "Route tables: which subnets of a VPC have which routes of gateway-type endpoints; one by default."
)

OneRouteTable = Annotated[
    str,
    typer.Argument(
        metavar="TABLE",
        help="A route table: its name, id, or beginning of the id.",
        autocompletion=completing.route_table,
    ),
]
WithSubnets = Annotated[
    list[str] | None,
    typer.Option(
        "--subnet",
        metavar="SUBNET",
        help="A subnet that belongs to it, by name or id; once for each. It leaves the table that it was in.",
        autocompletion=completing.subnet,
    ),
]
InTables = Annotated[
    str, typer.Option("--vpc", metavar="VPC", help="The VPC, where several have a table of this name.")
]


@noun.write(
    "create",
    "sidegate route-table create private --vpc shop --subnet back",
    "sidegate route-table create storage --vpc shop --subnet front --subnet back",
)
async def create(
    session: Session,
    *,
    name: Annotated[str, typer.Argument(help="Unique in the VPC.")],
    vpc: InVpc,
    subnet: WithSubnets = None,
    description: Description = "",
) -> RouteTable:
    """Create a route table."""
    vpc_id = await resolve.vpc(session.sidegate, vpc)
    subnets = [await resolve.subnet(session.sidegate, each) for each in subnet or ()]
    return await session.sidegate.route_tables.create(name, vpc_id, subnets, description=description)


@noun.verb("get", "sidegate route-table get private", "sidegate route-table get default --vpc shop")
async def get(session: Session, table: OneRouteTable, vpc: InTables = "") -> RouteTable:
    """Show a route table with its subnets."""
    return await session.sidegate.route_tables.get(await _resolved(session, table, vpc))


@noun.verb("list", "sidegate route-table list", "sidegate route-table list --vpc shop -o json")
async def list_(session: Session, vpc: OfVpc = "") -> Sequence[RouteTable]:
    """List the project's route tables, those that VPCs have by default among them."""
    vpc_id = await resolve.vpc(session.sidegate, vpc) if vpc else ""
    return [table async for table in session.sidegate.route_tables.list(vpc_id)]


@noun.write(
    "update",
    "sidegate route-table update private --subnet back --subnet front",
    "sidegate route-table update private --no-subnets",
    etag=True,
)
async def update(
    session: Session,
    *,
    table: OneRouteTable,
    vpc: InTables = "",
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Another name.")] = None,
    subnet: WithSubnets = None,
    no_subnets: Annotated[
        bool, typer.Option("--no-subnets", help="Take all subnets out: they belong to the default table then.")
    ] = False,
    description: OtherDescription = None,
) -> RouteTable:
    """Change its subnets, as a whole, its name, or what is said of it. Clients in subnets that leave it are cut."""
    if subnet and no_subnets:
        raise Complaint("--subnet and --no-subnets contradict each other", Exit.USAGE, "give one of them")
    if not subnet and not no_subnets and {name, description} == {None}:
        raise Complaint("nothing to change", Exit.USAGE, "name what is to be another: see --help")
    id = await _resolved(session, table, vpc)
    subnets = [await resolve.subnet(session.sidegate, each) for each in subnet or ()]
    wanted = subnets if subnet or no_subnets else None
    return await session.sidegate.route_tables.update(id, name=name, subnet_ids=wanted, description=description)


@noun.write("delete", "sidegate route-table delete private", etag=True)
async def delete(session: Session, table: OneRouteTable, vpc: InTables = "") -> View:
    """Delete a route table that no endpoint is in. Its subnets belong to the default one then."""
    id = await _resolved(session, table, vpc)
    await session.sidegate.route_tables.delete(id)
    return tables.gone("route table", id)


async def _resolved(session: Session, table: str, vpc: str) -> str:
    vpc_id = await resolve.vpc(session.sidegate, vpc) if vpc else ""
    return await resolve.route_table(session.sidegate, table, vpc_id)
