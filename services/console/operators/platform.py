"""Public services: those of the platform, which everybody may connect to."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.paging import paging, skipped
from services.console.pages.rendering import page
from services.console.sessions.access import Operator

router = APIRouter()


@router.get("/operator/services")
async def services(request: Request, session: Operator) -> Response:
    name = request.query_params.get("name", "").strip()[:200]
    found = await session.own.services.page_platform(skip=skipped(request), full_name_contains=name)
    return page(
        request, "operators/services.html", services=found.items, name=name, paging=paging(request, found.total)
    )
