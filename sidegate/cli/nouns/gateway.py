"""`sidegate gateway`: what a gateway forwards, asked on its own machine."""

from enum import StrEnum
from typing import Annotated

import typer

from sidegate.api.gateway.v1.gateway_service_pb2 import GetStatusResponse, GetTableRequest
from sidegate.cli import forwarding
from sidegate.cli.command import Noun
from sidegate.cli.session import Session
from sidegate.cli.view import View

noun = Noun("gateway", "The gateway of this machine.")


class Source(StrEnum):
    """Where a table is read from."""

    KERNEL = "kernel"
    DESIRED = "desired"


SOURCES = {Source.KERNEL: GetTableRequest.SOURCE_KERNEL, Source.DESIRED: GetTableRequest.SOURCE_DESIRED}


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
