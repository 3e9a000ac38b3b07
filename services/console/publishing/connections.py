"""A service's connections: the list, and decisions on one or many."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages import states
from services.console.pages.forms import Typed, typed
from services.console.pages.paging import paging, skipped
from services.console.pages.paths import inside
from services.console.pages.problems import Problem
from services.console.pages.rendering import to
from services.console.publishing import options, said
from services.console.publishing.about import tab
from services.console.publishing.connection import shown
from services.console.publishing.decisions import carry_out, decision_of
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate.topology import states as topology_states

STATES = {word: state for state, (word, _tone) in topology_states.CONNECTIONS.items()}

LONGEST_MARKER = 16

router = APIRouter()


@router.get("/services/{id_}")
async def connections(request: Request, id_: str, session: Signed) -> Response:
    return await _listed(request, session, id_, Typed())


@router.get("/services/{id_}/connections/decide")
async def decided(id_: str, _session: Signed) -> Response:
    """Who reads again what a form was answered with."""
    return to(f"/services/{id_}")


@router.post("/services/{id_}/connections/decide")
async def decide(request: Request, id_: str, session: Signed) -> Response:
    """`endpoint_ids`, `decision` (accept, reject or note), for each `etag-ID`; `next` is where to go on.

    `of_page` is the endpoint whose page has the form: that is shown again where something in it is wrong.
    """
    form = await typed(request)
    try:
        decision = decision_of(form)
    except said.Wrong as wrong:
        if (alone := form.text("of_page")) in form.all("endpoint_ids"):
            return await shown(request, session, id_, alone, form=form, problem=wrong.problem)
        return await _listed(request, session, id_, form, wrong.problem)
    await carry_out(session, id_, decision)
    return to(inside(form.text("next"), f"/services/{id_}"))


async def _listed(
    request: Request, session: Session, id_: str, form: Typed, problem: Problem | None = None
) -> Response:
    asked = request.query_params
    state, marker = STATES.get(asked.get("state", "")), asked.get("marker", "").strip()
    page = session.client.connections.page(
        id_,
        skip=skipped(request),
        states=[] if state is None else [state],
        marker_id=int(marker) if marker.isdecimal() and len(marker) <= LONGEST_MARKER else 0,
        newest_first=True,
    )
    service, found = await asyncio.gather(session.client.services.get(id_), page)
    return tab(
        request,
        session,
        service,
        "connections",
        problem.status if problem else 200,
        connections=found.items,
        paging=paging(request, found.total),
        states=[(word, states.said(word)) for word in options.CONNECTION_STATES],
        asked=asked,
        back=f"/services/{id_}" + (f"?{asked}" if asked else ""),
        form=form,
        chosen=set(form.all("endpoint_ids")),
        problem=problem,
    )
