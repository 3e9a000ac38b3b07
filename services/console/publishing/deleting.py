"""Deleting a service: what stands in the way, and doing it all the same."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.forms import typed
from services.console.pages.problems import Problem, problem_of
from services.console.pages.rendering import to
from services.console.pages.words import gettext as _
from services.console.publishing.about import tab
from services.console.publishing.decisions import AT_ONCE
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate import errors

router = APIRouter()


@router.get("/services/{id_}/delete")
async def ask(request: Request, id_: str, session: Signed) -> Response:
    return await _asked(request, session, id_)


@router.post("/services/{id_}/delete")
async def delete(request: Request, id_: str, session: Signed) -> Response:
    form = await typed(request)
    try:
        service = await session.client.services.delete(
            id_, force=form.checked("force"), etag=form.etag, request_id=form.request_id
        )
    except errors.SidegateError as error:
        return await _asked(request, session, id_, problem_of(error))
    session.say(_("Service %(name)s is being deleted.", name=service.name or service.id))
    return to("/services")


async def _asked(request: Request, session: Session, id_: str, problem: Problem | None = None) -> Response:
    """With the connections in the way, each linked to where it can be decided on."""
    service = await session.client.services.get(id_)
    blockers = list(problem.blockers[:AT_ONCE]) if problem else []
    found = await session.client.connections.page(id_, endpoint_ids=blockers, size=AT_ONCE) if blockers else None
    return tab(
        request,
        session,
        service,
        "delete",
        problem.status if problem else 200,
        problem=problem,
        blocking=found.items if found else [],
        left=len(problem.blockers) - len(found.items) if problem and found else 0,
    )
