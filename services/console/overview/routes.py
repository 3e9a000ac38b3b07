"""The overview: its page, the picture's data."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from services.console.drawing.document import document
from services.console.pages.rendering import page
from services.console.sessions.access import Signed
from sidegate.topology.build import build
from sidegate.topology.gather import gather

router = APIRouter()


@router.get("/")
async def index(request: Request, _session: Signed) -> Response:
    return page(request, "overview/index.html")


@router.get("/topology.json")
async def topology(session: Signed) -> Response:
    return JSONResponse(document(build(await gather(session.client))))
