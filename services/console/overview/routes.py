"""The overview: its page, the picture's data, and what waits, which the page asks for again and again."""

import asyncio
import json

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.drawing.document import document
from services.console.overview.keeping import View, kept_of
from services.console.overview.steps import steps
from services.console.overview.waiting import waiting
from services.console.pages.rendering import page
from services.console.pages.words import language
from services.console.sessions.access import Signed
from services.console.sessions.session import Session

SHOWN = 8
"""Of each kind that waits; the rest is a number and a link."""

router = APIRouter()


@router.get("/")
async def index(request: Request, session: Signed) -> Response:
    """At once, with what was seen last; the page asks for what is now."""
    kept = kept_of(session)
    kept.begin()
    latest = kept.latest
    return page(request, "overview/index.html", view=latest, **(_told(session, latest) if latest else {}))


@router.get("/waiting")
async def what_waits(request: Request, session: Signed) -> Response:
    """The top of the page; nothing where the page shows it already."""
    seen = request.query_params.get("seen", "")
    view = await kept_of(session).look(seen)
    if seen == view.version:
        return Response(status_code=204)
    return page(request, "overview/waiting.html", view=view, **_told(session, view))


@router.get("/topology.json")
async def topology(request: Request, session: Signed) -> Response:
    """What static/topology.js draws, and its version; nothing where the page has this one."""
    seen = request.query_params.get("seen", "")
    view = await kept_of(session).look(seen)
    if seen == view.version:
        return Response(status_code=204)
    return Response(await asyncio.to_thread(_drawn, view), media_type="application/json")


def _drawn(view: View) -> bytes:
    if language() not in view.drawn:
        made = {"version": view.version, **document(view.graph, view.seen.traffic)}
        view.drawn[language()] = json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()
    return view.drawn[language()]


def _told(session: Session, view: View) -> dict[str, object]:
    graph = view.graph
    services = sum(bool(each.owner) for each in graph.services)
    return {
        "waiting": waiting(graph, view.seen, view.quotas),
        "counts": (len(graph.vpcs), services, len(graph.endpoints), len(graph.connections)),
        "steps": steps(session, graph),
        "shown": SHOWN,
        "may_decide": session.is_tenant and not session.reads_only,
    }
