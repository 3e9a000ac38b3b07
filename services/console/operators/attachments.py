"""Attachments: how the gateways of cells reach VPCs."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.operators.targets import target
from services.console.pages.asking import problem_with, status_of
from services.console.pages.forms import Typed, typed
from services.console.pages.paging import paging, skipped
from services.console.pages.rendering import page, to
from services.console.pages.words import gettext as _
from services.console.sessions.access import Operator
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.api.registry.v1.vpc_pb2 import Attachment, Vpc

MOST_OFFERED = 200
"""VPCs that the form offers; another is named by its id."""

router = APIRouter()


@router.get("/operator/attachments")
async def attachments(request: Request, session: Operator) -> Response:
    return await listed(request, session)


async def listed(request: Request, session: Session, error: errors.SidegateError | None = None) -> Response:
    """The page of all of them. Raises SidegateError."""
    problem, cell = problem_with(error), request.query_params.get("cell", "").strip()[:32]
    found = await session.own.attachments.page(skip=skipped(request), cell=cell)
    return page(
        request,
        "operators/attachments.html",
        status_of(problem),
        attachments=found.items,
        vpcs=await _vpcs_of(session, found.items),
        defaults=[each async for each in session.own.attachments.list_defaults()],
        cell=cell,
        paging=paging(request, found.total),
        problem=problem,
    )


async def _vpcs_of(session: Session, found: Sequence[Attachment]) -> Mapping[str, Vpc]:
    ids = sorted({each.vpc_id for each in found})
    return {vpc.id: vpc for vpc in (await session.own.vpcs.page(ids=ids, size=100)).items} if ids else {}


@router.get("/operator/attachments/new")
async def new(request: Request, session: Operator) -> Response:
    return await _asked(request, session, Typed())


@router.post("/operator/attachments/new")
async def create(request: Request, session: Operator) -> Response:
    form = await typed(request)
    try:
        made = await session.own.attachments.create(
            form.text("vpc_id"), target(form), form.text("cell"), request_id=form.request_id
        )
    except errors.SidegateError as error:
        return await _asked(request, session, form, error)
    session.say(_("The VPC is attached in cell %(cell)s.", cell=made.cell))
    return to(f"/vpcs/{made.vpc_id}#attachment-{made.id}")


async def _asked(
    request: Request, session: Session, form: Typed, error: errors.SidegateError | None = None
) -> Response:
    problem = problem_with(error)
    return page(
        request,
        "operators/attachment_form.html",
        status_of(problem),
        form=form,
        vpc=request.query_params.get("vpc", "")[:36],
        now=None,
        offered=(await session.own.vpcs.page(size=MOST_OFFERED)).items,
        problem=problem,
    )


@router.post("/operator/attachments")
async def delete(request: Request, session: Operator) -> Response:
    form = await typed(request)
    try:
        await session.own.attachments.delete(form.text("id"), request_id=form.request_id)
    except errors.SidegateError as error:
        return await listed(request, session, error)
    session.say(_("The attachment is deleted: its VPC is reached no more in that cell."))
    return to("/operator/attachments")
