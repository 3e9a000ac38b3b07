"""An endpoint is changed, or taken away."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.endpoints.fields import tags_of, tags_text, whitelist_of, whitelist_word
from services.console.endpoints.messages import said
from services.console.endpoints.naming import called
from services.console.endpoints.reading import Known, read
from services.console.pages.asking import etag_with, length, problem_with, status_of
from services.console.pages.forms import Typed, typed
from services.console.pages.rendering import page, to
from services.console.pages.words import gettext as _
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint

LONGEST_DRAIN = 3600

router = APIRouter()


@router.get("/endpoints/{id_}/edit")
async def edit(id_: str, request: Request, session: Signed) -> Response:
    return await _edit_form(request, session, await read(session.client, id_))


@router.post("/endpoints/{id_}/edit")
async def change(id_: str, request: Request, session: Signed) -> Response:
    form = await typed(request)
    known = await read(session.client, id_)
    try:
        endpoint = await _change(session, known, form)
    except errors.SidegateError as error:
        return await _edit_form(request, session, await read(session.client, id_), form, error)
    session.say(_("Endpoint %(name)s is changed.", name=called(endpoint)))
    return to(f"/endpoints/{id_}")


@router.get("/endpoints/{id_}/delete")
async def confirm(id_: str, request: Request, session: Signed) -> Response:
    return _delete_form(request, await read(session.client, id_))


@router.post("/endpoints/{id_}/delete")
async def delete(id_: str, request: Request, session: Signed) -> Response:
    form = await typed(request)
    try:
        drain = length(form, "drain", LONGEST_DRAIN)
        endpoint = await session.client.endpoints.delete(id_, drain=drain, etag=form.etag, request_id=form.request_id)
    except errors.SidegateError as error:
        return _delete_form(request, await read(session.client, id_), form, error)
    session.say(_("Endpoint %(name)s is being deleted.", name=called(endpoint)))
    return to(f"/endpoints/{id_}" if drain else "/endpoints")


async def _change(session: Session, known: Known, form: Typed) -> Endpoint:
    """What an endpoint of its kind does not have is not sent: it would be refused."""
    routed, changes = known.by_routes, session.client.endpoints
    return await changes.update(
        known.endpoint.id,
        name=form.text("name"),
        description=form.text("description"),
        tags=tags_of(form.text("tags")),
        policy=form.text("policy") if routed or form.text("policy") != known.endpoint.policy else None,
        allowed_cidrs=None if routed else form.list("allowed_cidrs"),
        whitelist=None if routed else whitelist_of(form),
        dns_enabled=None if routed else form.checked("dns_enabled"),
        route_tables=[each for each in form.all("route_tables") if each] if routed else None,
        etag=form.etag,
        request_id=form.request_id,
    )


async def _edit_form(
    request: Request,
    session: Session,
    known: Known,
    form: Typed | None = None,
    error: errors.SidegateError | None = None,
) -> Response:
    problem = problem_with(error)
    tables = [each async for each in session.client.route_tables.list(known.endpoint.vpc_id)] if known.by_routes else ()
    return page(
        request,
        "endpoints/edit.html",
        status_of(problem),
        known=known,
        endpoint=known.endpoint,
        name=called(known.endpoint),
        whitelist=whitelist_word(known.endpoint),
        tags_text=tags_text(known.endpoint.tags),
        tables=tables,
        etag=etag_with(error, form or Typed(), known.endpoint.etag),
        outdated=isinstance(error, errors.Outdated),
        said=said,
        form=form,
        problem=problem,
    )


def _delete_form(
    request: Request, known: Known, form: Typed | None = None, error: errors.SidegateError | None = None
) -> Response:
    problem = problem_with(error)
    return page(
        request,
        "endpoints/delete.html",
        status_of(problem),
        known=known,
        endpoint=known.endpoint,
        name=called(known.endpoint),
        etag=etag_with(error, form or Typed(), known.endpoint.etag),
        form=form,
        problem=problem,
    )
