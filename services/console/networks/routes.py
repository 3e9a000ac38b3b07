"""VPCs: the list, a new one, one's page, changes of it."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.networks import ports, removal, resolvers, route_tables, subnets
from services.console.networks.inside import Wanted, inside, is_own
from services.console.pages.asking import Id, etag_with, problem_with, status_of
from services.console.pages.forms import Typed, typed
from services.console.pages.paging import paging, skipped
from services.console.pages.rendering import page, to
from services.console.pages.words import gettext as _
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate import errors

router = APIRouter()


@router.get("/vpcs")
async def vpcs(request: Request, session: Signed) -> Response:
    name = request.query_params.get("name", "").strip()[:63]
    found = await session.client.vpcs.page(skip=skipped(request), name_contains=name)
    return page(request, "networks/vpcs.html", vpcs=found.items, name=name, paging=paging(request, found.total))


@router.get("/vpcs/new")
async def new(request: Request, session: Signed) -> Response:
    return await _asked(request, session)


@router.post("/vpcs/new")
async def create(request: Request, session: Signed) -> Response:
    form = await typed(request)
    try:
        vpc = await session.client.vpcs.create(
            form.text("name"), form.list("cidrs"), description=form.text("description"), request_id=form.request_id
        )
    except errors.SidegateError as error:
        return await _asked(request, session, form=form, error=error)
    session.say(_("VPC %(name)s is there.", name=vpc.name))
    return to(f"/vpcs/{vpc.id}")


@router.get("/vpcs/{vpc_id}")
async def vpc(request: Request, vpc_id: Id, session: Signed) -> Response:
    return await _shown(request, session, vpc_id)


@router.post("/vpcs/{vpc_id}")
async def remove(request: Request, vpc_id: Id, session: Signed) -> Response:
    """Deletes the VPC or something in it: `what` with this `id`. What stands in the way is named on the same page."""
    form = await typed(request)
    try:
        said = await removal.remove(session, vpc_id, form)
    except errors.SidegateError as error:
        return await _shown(request, session, vpc_id, error)
    session.say(said)
    return to("/vpcs" if form.text("what") == "vpc" else f"/vpcs/{vpc_id}")


async def _shown(
    request: Request, session: Session, vpc_id: str, error: errors.SidegateError | None = None
) -> Response:
    found, problem = await session.client.vpcs.get(vpc_id), problem_with(error)
    query = request.query_params
    wanted = Wanted(
        query.get("subnet", ""), query.get("holder", "").strip()[:80], query.get("port", ""), skipped(request)
    )
    here = await inside(session, found, wanted)
    return page(
        request,
        "networks/vpc.html",
        status_of(problem),
        vpc=found,
        own=is_own(session, found),
        inside=here,
        wanted=wanted,
        paging=paging(request, here.ports.total),
        problem=problem,
    )


@router.get("/vpcs/{vpc_id}/edit")
async def edit(request: Request, vpc_id: Id, session: Signed) -> Response:
    return await _asked(request, session, vpc_id)


@router.post("/vpcs/{vpc_id}/edit")
async def change(request: Request, vpc_id: Id, session: Signed) -> Response:
    form = await typed(request)
    try:
        changed = await session.client.vpcs.update(
            vpc_id,
            name=form.text("name"),
            cidrs=form.list("cidrs"),
            description=form.text("description"),
            etag=form.etag,
            request_id=form.request_id,
        )
    except errors.SidegateError as error:
        return await _asked(request, session, vpc_id, form=form, error=error)
    session.say(_("VPC %(name)s was changed.", name=changed.name))
    return to(f"/vpcs/{vpc_id}")


async def _asked(
    request: Request,
    session: Session,
    vpc_id: str = "",
    *,
    form: Typed | None = None,
    error: errors.SidegateError | None = None,
) -> Response:
    form, problem = form or Typed(), problem_with(error)
    return page(
        request,
        "networks/vpc_form.html",
        status_of(problem),
        form=form,
        problem=problem,
        vpc=(vpc := await session.client.vpcs.get(vpc_id) if vpc_id else None),
        etag=etag_with(error, form, vpc.etag if vpc else ""),
    )


for room in (subnets, ports, route_tables, resolvers):
    router.include_router(room.router)
