"""Past: its pages."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.rendering import page
from services.console.sessions.access import Signed

router = APIRouter()


@router.get("/past")
async def index(request: Request, _session: Signed) -> Response:
    return page(request, "past/index.html")
