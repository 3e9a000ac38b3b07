"""Changing what a service says of itself: only what was changed is sent."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.forms import Typed, typed
from services.console.pages.problems import Problem, problem_of
from services.console.pages.rendering import to
from services.console.pages.words import gettext as _
from services.console.publishing import said
from services.console.publishing.about import tab
from services.console.publishing.fields import context_of
from services.console.publishing.happened import FIELDS
from services.console.publishing.placing import placed
from services.console.publishing.shown import changes, form_of
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService

ALONE: Mapping[str, str] = {"no_health_check": "health_check"}

router = APIRouter()


@router.get("/services/{id_}/edit")
async def edit(request: Request, id_: str, session: Signed) -> Response:
    if session.reads_only:
        return to(f"/services/{id_}/settings")
    service = await session.client.services.get(id_)
    return _asked(request, session, service, form_of(service))


@router.post("/services/{id_}/edit")
async def change(request: Request, id_: str, session: Signed) -> Response:
    form = await typed(request)
    service = await session.client.services.get(id_)
    try:
        await _change(session, service, form)
    except said.Wrong as wrong:
        return _asked(request, session, service, form, wrong.problem)
    except errors.SidegateError as error:
        now = await session.client.services.get(id_)
        return _asked(request, session, now, form, problem_of(error))
    return to(f"/services/{id_}/settings")


async def _change(session: Session, service: EndpointService, form: Typed) -> None:
    """Under the etag of what was shown: what somebody else said since is not taken back unread."""
    if form.etag and form.etag != service.etag:
        raise errors.Outdated(_("The service is another by now."), reason="CHANGED_MEANWHILE")
    if not (wanted := changes(form, service)):
        session.say(_("There was nothing to change."))
        return
    await session.client.services.update(service.id, **wanted, etag=form.etag, request_id=form.request_id)
    session.say(_("Changed: %(what)s.", what=", ".join(_names(wanted))))


def _asked(
    request: Request, session: Session, service: EndpointService, form: Typed, problem: Problem | None = None
) -> Response:
    return tab(
        request,
        session,
        service,
        "edit",
        problem.status if problem else 200,
        differs=_differing(form, service) if problem and problem.reason == "CHANGED_MEANWHILE" else [],
        **context_of(session, form, placed(problem, form) if problem else None),
    )


def _differing(form: Typed, now: EndpointService) -> Sequence[str]:
    """What would be changed by what was typed, now that the service is another."""
    try:
        return _names(changes(form, now))
    except said.Wrong:
        return []


def _names(wanted: Mapping[str, object]) -> Sequence[str]:
    return [_(FIELDS[ALONE.get(name, name)]) for name in wanted]
