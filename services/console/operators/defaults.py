"""Default attachments: how cells attach the VPCs that tenants make."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.operators.attachments import listed
from services.console.operators.targets import template
from services.console.pages.asking import etag_with, problem_with, status_of
from services.console.pages.forms import Typed, typed
from services.console.pages.rendering import page, to
from services.console.pages.words import gettext as _
from services.console.sessions.access import Operator
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.conditions import under

router = APIRouter()


@router.get("/operator/defaults/edit")
async def edit(request: Request, session: Operator) -> Response:
    return await _asked(request, session, Typed())


@router.post("/operator/defaults/edit")
async def give(request: Request, session: Operator) -> Response:
    """Says how a cell attaches VPCs from now on; what was said before is replaced."""
    form = await typed(request)
    try:
        with under(etag=form.etag):
            said = await session.own.attachments.set_default(
                template(form), form.text("cell"), request_id=form.request_id
            )
    except errors.SidegateError as error:
        return await _asked(request, session, form, error)
    session.say(_("VPCs that tenants make are attached in cell %(cell)s from now on.", cell=said.cell))
    return to("/operator/attachments#defaults")


async def _asked(
    request: Request, session: Session, form: Typed, error: errors.SidegateError | None = None
) -> Response:
    problem, cell = problem_with(error), request.query_params.get("cell", "")
    known = [each async for each in session.own.attachments.list_defaults()]
    now = next((each for each in known if each.cell == cell), None)
    return page(
        request,
        "operators/default_form.html",
        status_of(problem),
        form=form,
        cell=cell,
        now=now,
        etag=etag_with(error, form, now.etag if now else ""),
        problem=problem,
    )


@router.post("/operator/defaults/delete")
async def delete(request: Request, session: Operator) -> Response:
    form = await typed(request)
    cell = form.text("cell")
    try:
        with under(etag=form.etag):
            await session.own.attachments.delete_default(cell, request_id=form.request_id)
    except errors.SidegateError as error:
        return await listed(request, session, error)
    session.say(_("Cell %(cell)s attaches no VPCs by itself any more; those that it has stay attached.", cell=cell))
    return to("/operator/attachments#defaults")
