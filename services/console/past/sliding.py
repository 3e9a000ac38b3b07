"""The time slider: its page, and what it asks for when it is dragged: a moment, changes beside it, the next one."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import JSONResponse, Response

from services.console.pages.answers import refused
from services.console.pages.problems import Problem, at_fault
from services.console.pages.rendering import page, render
from services.console.pages.words import gettext as _
from services.console.past import listing, moments, picturing, stepping, words
from services.console.past.moments import Moment, Scope
from services.console.past.wanted import NoMoment, moment_of, no_moment, owner_of, text_of
from services.console.sessions.access import Signed
from services.console.sessions.session import Session

router = APIRouter(prefix="/past")

MOST_OWNERS = 200
SKEW = timedelta(seconds=5)
"""The reader's clock may be ahead of ours by so much."""


class Wrong(Exception):
    """What the address says cannot be shown."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


@router.get("")
async def slider(request: Request, session: Signed) -> Response:
    """Shows a moment without a script, too; with one it is where the slider begins."""
    problem: Problem | None = None
    try:
        at = _moment(request, "at")
    except Wrong as error:
        at, problem = None, error.problem
    scope = _scope(request, session)
    now = await moments.at(session, scope, at)
    owners = await _owners(session)
    return page(
        request,
        "past/slider.html",
        problem.status if problem else 200,
        problem=problem,
        at=request.query_params.get("at", ""),
        owners=owners,
        scope=scope,
        cells=listing.cells_of(now) if not session.is_tenant else [],
        begins=await stepping.beginning(session, scope.owner),
        **_shown(now, None, at),
    )


@router.get("/moment.json")
async def moment(request: Request, session: Signed) -> Response:
    try:
        at, base = _moment(request, "at"), _moment(request, "base")
    except Wrong as error:
        return refused(request, error.problem)
    scope, kept = _scope(request, session), moments.kept_of(session)
    heads = await moments.heads(session) if at is None else ""
    if heads and request.query_params.get("seen") == heads:
        return Response(status_code=204)
    now = await kept.at(session, scope, at)
    before = await kept.at(session, scope, base) if base else None
    viewer = scope.owner or "operator"
    # Of thousands of resources this takes so long that others would wait: in a thread, which takes turns with them.
    shown = await asyncio.to_thread(_shown, now, before, at)
    document, previous = await asyncio.to_thread(
        lambda: [each and picturing.picture(each, viewer) for each in (now, before)]
    )
    return JSONResponse(
        {
            "at": text_of(at) if at else "",
            "logs": now.logs,
            "seen": heads,
            "positions": {header.log: header.position for header in now.headers},
            "document": document,
            "previous": previous,
            "html": render(request, "past/moment.html", **shown, scope=scope),
        }
    )


@router.get("/changes.json")
async def changes(request: Request, session: Signed) -> Response:
    try:
        start, end = _moment(request, "start"), _moment(request, "end")
    except Wrong as error:
        return refused(request, error.problem)
    found = await stepping.marks(session, _scope(request, session).owner, start, end)
    marks = [{"at": text_of(each.time), "what": words.fact(each.what), "kind": each.kind} for each in found.entries]
    return JSONResponse({"marks": marks, "whole": found.onward is None})


@router.get("/step.json")
async def step(request: Request, session: Signed) -> Response:
    """The change before or after a moment."""
    try:
        at = _moment(request, "at")
    except Wrong as error:
        return refused(request, error.problem)
    owner, forward = _scope(request, session).owner, request.query_params.get("to") == "next"
    found = await stepping.step(session, owner, at, forward=forward)
    return JSONResponse({"at": text_of(found) if found else ""})


def _shown(now: Moment, before: Moment | None, at: Timestamp | None) -> Mapping[str, object]:
    compared = listing.difference(before.states, now.states) if before else []
    tables = listing.difference(before.entries, now.entries) if before else []
    return {
        "moment": now,
        "asked": at,
        "rows": listing.rows(now),
        "entries": list(listing.entries(now.entries)),
        "compared": before is not None,
        "differences": compared[: listing.LISTED],
        "differing": len(compared),
        "table_differences": tables[: listing.LISTED],
        "said": words,
        "listed": listing.LISTED,
        "page_size": moments.TABLE,
    }


def _scope(request: Request, session: Session) -> Scope:
    query = request.query_params
    if session.is_tenant:
        return Scope(owner_of(session), logs=moments.logs_of(query.get("logs", "")))
    skip = query.get("skip", "0")
    return Scope(
        query.get("of", "")[:127],
        query.get("cell", "")[:32],
        int(skip) if skip.isdecimal() and len(skip) < 8 else 0,
        moments.logs_of(query.get("logs", "")),
    )


def _moment(request: Request, field: str) -> Timestamp | None:
    """Raises Wrong for what is no moment, or has not come yet."""
    try:
        found = moment_of(request.query_params.get(field, "").strip())
    except NoMoment as error:
        raise Wrong(no_moment(field)) from error
    if found is not None and found.ToDatetime(UTC) > datetime.now(UTC) + SKEW:
        raise Wrong(at_fault(field, _("This moment has not come yet.")))
    return found


async def _owners(session: Session) -> list[str]:
    """Whose past there is to choose: for the operator, of all projects."""
    if session.is_tenant:
        return []
    found = await session.client.accounts.page(size=MOST_OWNERS)
    return [f"{each.name}/{project}" for each in found.items for project in each.projects]
