"""How the programs are doing."""

import asyncio
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.rendering import page
from services.console.sessions.access import Operator
from sidegate import errors
from sidegate.api.status.v1.status_pb2 import GetStatusResponse
from sidegate.client import Client

PROGRAMS = ("registry", "endpoint", "gateway")

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Told:
    """What a program says of itself; None where it does not answer, and `silence` says how."""

    name: str
    status: GetStatusResponse | None
    silence: str = ""


@router.get("/operator")
async def programs(request: Request, session: Operator) -> Response:
    told = await asyncio.gather(*(_of(session.own, name) for name in PROGRAMS))
    return page(request, "operators/index.html", programs=[each for each in told if each])


async def _of(client: Client, name: str) -> Told | None:
    """None of one that the console has no address of."""
    try:
        return Told(name, await client.program(name).status())
    except errors.Unavailable as error:
        return None if error.reason == "NO_ADDRESS" else Told(name, None, error.text)
