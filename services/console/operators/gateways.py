"""Cells and their gateways: what passes them, and whether they have heard all."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.rendering import page
from services.console.sessions.access import Operator
from sidegate import errors
from sidegate.api.endpoint.v1.gateways_service_pb2 import Gateway
from sidegate.api.gateway.v1.gateway_service_pb2 import GetStatusResponse
from sidegate.api.gateway.v1.traffic_pb2 import GetTrafficResponse
from sidegate.client import Client

MOST_TRAFFIC = 10
"""Endpoints of this machine's gateway that are shown, those with the most traffic first."""

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Here:
    """The gateway of the console's machine, as its agent answers at its socket."""

    status: GetStatusResponse
    traffic: GetTrafficResponse


@router.get("/operator/gateways")
async def gateways(request: Request, session: Operator) -> Response:
    found, cells, here = await asyncio.gather(_gateways(session.own), _cells(session.own), _here(session.own))
    for gateway in found or ():
        cells.setdefault(gateway.cell, []).append(gateway)
    return page(request, "operators/gateways.html", cells=cells, local=here, silent=found is None)


async def _gateways(client: Client) -> Sequence[Gateway] | None:
    """None where the endpoint service, which knows them, does not answer."""
    try:
        return [gateway async for gateway in client.gateways.list()]
    except errors.Unavailable:
        return None


async def _cells(client: Client) -> dict[str, list[Gateway]]:
    """Those that VPCs are attached in by default: a cell without a gateway is one that somebody is waiting for."""
    return {each.cell: [] async for each in client.attachments.list_defaults()}


async def _here(client: Client) -> Here | None:
    """None where the console has no gateway beside it, or that does not answer."""
    try:
        return Here(await client.gateway.status(), await client.gateway.traffic(limit=MOST_TRAFFIC))
    except errors.Unavailable:
        return None
