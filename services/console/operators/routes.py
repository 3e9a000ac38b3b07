"""Operator: its pages."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.rendering import page
from services.console.sessions.access import Operator

router = APIRouter()


@router.get("/operator")
async def index(request: Request, _session: Operator) -> Response:
    return page(request, "operators/index.html")
