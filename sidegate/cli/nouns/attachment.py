"""`sidegate attachment`: how gateways reach VPCs."""

from collections.abc import Sequence
from typing import Annotated

import typer

from sidegate.api.registry.v1.vpc_pb2 import Attachment, DefaultAttachment
from sidegate.cli import resolve, tables, targets
from sidegate.cli.command import Noun
from sidegate.cli.options import InVpc, OfVpc, OneAttachment
from sidegate.cli.session import Session
from sidegate.cli.view import View

noun = Noun("attachment", "How the gateways of a cell reach a VPC. Only the operator makes them.")

Remotes = Annotated[
    list[str] | None,
    typer.Option("--remote", metavar="IP", help="A host that carries the --vxlan; give it once for each."),
]
Local = Annotated[
    str, typer.Option(metavar="IP", help="The address that the --vxlan is sent from; the kernel's choice if not given.")
]
UdpPort = Annotated[
    int | None, typer.Option(metavar="PORT", min=1, max=65535, help="The UDP port of the --vxlan; 4789 if not given.")
]
Mtu = Annotated[
    int | None,
    typer.Option(
        metavar="BYTES", min=576, max=65485, help="The MTU in the --vxlan; the underlay's less 50 if not given."
    ),
]
Cell = Annotated[str, typer.Option(metavar="CELL", help="The cell whose gateways use it; default if not given.")]


@noun.write(
    "create",
    "sidegate attachment create --vpc shop --netns shop",
    "sidegate attachment create --vpc 6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c --netns shop --device eth1 --cell west",
    "sidegate attachment create --vpc shop --interface eth1.100",
    "sidegate attachment create --vpc shop --interface addr:172.30.0.5",
    "sidegate attachment create --vpc shop --vxlan 100 --remote 192.0.2.10 --remote 192.0.2.11",
)
async def create(
    session: Session,
    *,
    vpc: InVpc,
    netns: Annotated[str, typer.Option(metavar="NAME", help="A network namespace, as `ip netns` names it.")] = "",
    device: Annotated[
        str,
        typer.Option(metavar="NAME", help="The device that the gateway makes in --netns; sidegate0 if not given."),
    ] = "",
    interface: Annotated[
        str,
        typer.Option(
            metavar="NAME|MAC|addr:IP",
            help="A device that is there on the gateways' machines; addr:IP is the one that has this address.",
        ),
    ] = "",
    vxlan: Annotated[
        int | None, typer.Option(metavar="VNI", min=1, max=16777215, help="A VXLAN segment, by its number.")
    ] = None,
    remote: Remotes = None,
    local: Local = "",
    port: UdpPort = None,
    mtu: Mtu = None,
    cell: Cell = "",
) -> Attachment:
    """Attach a VPC to the gateways of a cell: a network namespace, a VXLAN segment, or a device that is there."""
    given = targets.Options(netns, device, vxlan or 0, remote or (), local, port or 0, mtu or 0, interface)
    target = targets.target(given)
    vpc_id = await resolve.vpc(session.sidegate, vpc)
    return await session.sidegate.attachments.create(vpc_id, target, cell)


@noun.verb("get", "sidegate attachment get 6f1c2a3b")
async def get(session: Session, attachment: OneAttachment) -> Attachment:
    """Show an attachment."""
    return await session.sidegate.attachments.get(await resolve.attachment(session.sidegate, attachment))


@noun.verb("list", "sidegate attachment list", "sidegate attachment list --vpc shop")
async def list_(session: Session, vpc: OfVpc = "") -> Sequence[Attachment]:
    """List attachments."""
    vpc_id = await resolve.vpc(session.sidegate, vpc) if vpc else ""
    return [attachment async for attachment in session.sidegate.attachments.list(vpc_id)]


@noun.write("delete", "sidegate attachment delete 6f1c2a3b")
async def delete(session: Session, attachment: OneAttachment) -> View:
    """Detach a VPC: it is reached no more in that cell."""
    id = await resolve.attachment(session.sidegate, attachment)
    await session.sidegate.attachments.delete(id)
    return tables.gone("attachment", id)


@noun.write(
    "set-default",
    "sidegate attachment set-default --netns 'sidegate-{vpc_id}'",
    "sidegate attachment set-default --vxlan 1000-1999 --remote 192.0.2.10 --remote 192.0.2.11 --cell west",
    etag=True,
)
async def set_default(
    session: Session,
    *,
    netns: Annotated[
        str, typer.Option(metavar="PATTERN", help="Network namespaces: {vpc_id} in it stands for the VPC's id.")
    ] = "",
    device: Annotated[
        str, typer.Option(metavar="NAME", help="The device that the gateway makes in each; sidegate0 if not given.")
    ] = "",
    vxlan: Annotated[
        str, typer.Option(metavar="FIRST-LAST", help="VXLAN segments: each VPC gets a free one of these numbers.")
    ] = "",
    remote: Remotes = None,
    local: Local = "",
    port: UdpPort = None,
    mtu: Mtu = None,
    cell: Cell = "",
) -> DefaultAttachment:
    """Say how VPCs are attached that tenants make from now on. Those of before, and yours, you attach yourself."""
    given = targets.Options(netns, device, 0, remote or (), local, port or 0, mtu or 0, "")
    return await session.sidegate.attachments.set_default(targets.template(given, vxlan), cell)


@noun.verb("list-defaults", "sidegate attachment list-defaults")
async def list_defaults(session: Session) -> Sequence[DefaultAttachment]:
    """List what each cell attaches VPCs by that tenants make."""
    return [default async for default in session.sidegate.attachments.list_defaults()]


@noun.write(
    "delete-default", "sidegate attachment delete-default", "sidegate attachment delete-default --cell west", etag=True
)
async def delete_default(session: Session, cell: Cell = "") -> View:
    """Attach VPCs by default no more; those that are attached stay so."""
    await session.sidegate.attachments.delete_default(cell)
    return tables.gone("default attachment of cell", cell or "default")
