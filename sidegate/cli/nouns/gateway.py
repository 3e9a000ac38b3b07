"""`sidegate gateway`: all gateways; what one forwards, asked on its own machine; what gateways make of a packet."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from sidegate.api.gateway.v1.gateway_service_pb2 import GetStatusResponse, GetTableRequest
from sidegate.api.gateway.v1.traffic_pb2 import GetTrafficRequest
from sidegate.cli import forwarding, passing, taps, traced
from sidegate.cli import traffic as told_traffic
from sidegate.cli.command import Noun
from sidegate.cli.packets import FromClient, OfProtocol, ToAddress, ToPort, Transport, opening
from sidegate.cli.session import Session
from sidegate.cli.streaming import Running
from sidegate.cli.view import View

noun = Noun("gateway", "Gateways: all of them, and the one of this machine.")


class Source(StrEnum):
    """Where a table is read from."""

    KERNEL = "kernel"
    DESIRED = "desired"


class Order(StrEnum):
    """By what endpoints are in order."""

    BYTES = "bytes"
    SESSIONS = "sessions"
    REFUSED = "refused"
    SOURCES = "sources"


ORDERS = {
    Order.BYTES: GetTrafficRequest.ORDER_BYTES,
    Order.SESSIONS: GetTrafficRequest.ORDER_SESSIONS,
    Order.REFUSED: GetTrafficRequest.ORDER_REFUSED,
    Order.SOURCES: GetTrafficRequest.ORDER_SOURCES,
}
SOURCES = {Source.KERNEL: GetTableRequest.SOURCE_KERNEL, Source.DESIRED: GetTableRequest.SOURCE_DESIRED}


@noun.verb("list", "sidegate gateway list", "sidegate gateway list --cell default -o json")
async def list_(
    session: Session, *, cell: Annotated[str, typer.Option(metavar="CELL", help="Only those of this cell.")] = ""
) -> View:
    """List the gateways of all cells, with what passes and what they refuse; for the operator."""
    return passing.gateways([each async for each in session.sidegate.gateways.list(cell=cell)])


@noun.verb("show", "sidegate gateway show", "sidegate gateway show --source desired -o json")
async def show(
    session: Session,
    source: Annotated[Source, typer.Option(help="The table as the kernel has it, or as it should be.")] = Source.KERNEL,
) -> View:
    """Show the forwarding table."""
    return forwarding.view(await session.gateway.table(SOURCES[source]))


@noun.verb("status", "sidegate gateway status", "sidegate gateway status -o json")
async def status(session: Session) -> GetStatusResponse:
    """Show how the gateway is doing: what it has heard, and what became of packets."""
    return await session.gateway.status()


@noun.verb(
    "traffic",
    "sidegate gateway traffic",
    "sidegate gateway traffic --by sources --limit 5",
    "sidegate gateway traffic --by refused -o json",
)
async def traffic(
    session: Session,
    *,
    by: Annotated[
        Order,
        typer.Option(
            help="Those first with the most bytes, sessions, refused packets, or the fullest source addresses."
        ),
    ] = Order.BYTES,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="How many endpoints.")] = 20,
) -> View:
    """Show what has passed for endpoints and what was refused, and how full their source addresses are."""
    return told_traffic.view(await session.gateway.traffic(ORDERS[by], limit=limit))


@noun.verb(
    "trace",
    "sidegate gateway trace --endpoint 6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c --from 10.0.0.5",
    "sidegate gateway trace --endpoint 6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c --from 10.0.0.5:40000 --to-port 53"
    " --protocol udp --gateway gw-1",
)
async def trace(
    session: Session,
    *,
    endpoint: Annotated[str, typer.Option(metavar="ID", help="The endpoint that the packet goes to, by its id.")],
    client: FromClient,
    to: ToAddress = "",
    to_port: ToPort = 0,
    protocol: OfProtocol = Transport.TCP,
    gateway: Annotated[
        str, typer.Option(metavar="GATEWAY", help="Only on this gateway; on each of the endpoint's cell without.")
    ] = "",
) -> View:
    """Say step by step what gateways make of a client's packet, without sending one; for the operator.

    The forwarding program itself is run on it; nothing is opened or counted. The exit code is 1 if it does not pass.
    """
    packet = opening(client, to_port, protocol, to)
    return traced.of_packet(await session.sidegate.traces.packet(endpoint, packet, gateway=gateway))


@noun.endless(
    "flows",
    "sidegate gateway flows",
    "sidegate gateway flows --follow --endpoint 6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c -o json",
)
async def flows(
    session: Session,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that end from now on.")] = False,
    endpoint: Annotated[str, typer.Option(metavar="ID", help="Only those of an endpoint, by its id.")] = "",
    newest: Annotated[int, typer.Option(metavar="N", min=0, max=1000, help="How many that have ended before.")] = 20,
) -> Running:
    """Tell of sessions that are over, and of refused ones: who, to where, how much, how it ended.

    The gateway must keep a flow log: --flow-log full, or 1/100 for one session in a hundred.
    """
    return taps.flows(session.gateway.flows(endpoint_id=endpoint, newest=newest, follow=follow))


@noun.endless(
    "capture",
    "sidegate gateway capture --endpoint 6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c -c 20",
    "sidegate gateway capture --endpoint 6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c --seconds 60 -w shop.pcapng",
    "sidegate gateway capture --endpoint 6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c -w -",
)
async def capture(
    session: Session,
    *,
    endpoint: Annotated[str, typer.Option(metavar="ID", help="The endpoint, by its id.")],
    count: Annotated[
        int, typer.Option("--count", "-c", metavar="N", min=1, max=1_000_000, help="End after so many packets.")
    ] = 1_000_000,
    seconds: Annotated[float, typer.Option(metavar="N", min=0.1, max=3600, help="End after so long.")] = 3600.0,
    snap: Annotated[
        int, typer.Option("--snap", "-s", metavar="BYTES", min=64, max=262_144, help="How much of each packet.")
    ] = 262_144,
    write: Annotated[
        str, typer.Option("--write", "-w", metavar="FILE", help="Write a pcapng file; '-' is stdout. Else print lines.")
    ] = "",
) -> Running:
    """Take packets of one endpoint on both sides of the gateway: as they come in, and as they go out.

    The gateway writes in its log who did so. Forwarding does not wait for it: what is not read in time is dropped.
    """
    answers = session.gateway.capture(endpoint, packets=count, seconds=seconds, snap_length=snap, who=whoami())
    return await taps.write(answers, write) if write else taps.packets(answers)


def whoami() -> str:
    """Who is at the terminal, as far as root's environment says."""
    return os.environ.get("SUDO_USER") or os.environ.get("LOGNAME") or os.environ.get("USER") or f"uid {os.getuid()}"
