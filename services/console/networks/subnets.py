"""Subnets: a new one, and changes of one."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.asking import Id, etag_with, problem_with, status_of
from services.console.pages.forms import Typed, typed
from services.console.pages.rendering import page, to
from services.console.pages.words import gettext as _
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.conditions import under

router = APIRouter()


@router.get("/vpcs/{vpc_id}/subnets/new")
async def new(request: Request, vpc_id: Id, session: Signed) -> Response:
    return await _asked(request, session, vpc_id)


@router.post("/vpcs/{vpc_id}/subnets/new")
async def create(request: Request, vpc_id: Id, session: Signed) -> Response:
    form = await typed(request)
    try:
        subnet = await session.client.subnets.create(
            form.text("name"),
            vpc_id,
            form.text("cidr"),
            description=form.text("description"),
            dns_servers=form.list("dns_servers"),
            request_id=form.request_id,
        )
    except errors.SidegateError as error:
        return await _asked(request, session, vpc_id, form=form, error=error)
    session.say(_("Subnet %(name)s is there.", name=subnet.name))
    return to(f"/vpcs/{vpc_id}#subnet-{subnet.id}")


@router.get("/vpcs/{vpc_id}/subnets/{subnet_id}/edit")
async def edit(request: Request, vpc_id: Id, subnet_id: Id, session: Signed) -> Response:
    return await _asked(request, session, vpc_id, subnet_id)


@router.post("/vpcs/{vpc_id}/subnets/{subnet_id}/edit")
async def change(request: Request, vpc_id: Id, subnet_id: Id, session: Signed) -> Response:
    form = await typed(request)
    try:
        with under(etag=form.etag):
            subnet = await session.client.subnets.update(
                subnet_id,
                name=form.text("name"),
                description=form.text("description"),
                dns_servers=form.list("dns_servers"),
                request_id=form.request_id,
            )
    except errors.SidegateError as error:
        return await _asked(request, session, vpc_id, subnet_id, form=form, error=error)
    session.say(_("Subnet %(name)s was changed.", name=subnet.name))
    return to(f"/vpcs/{vpc_id}#subnet-{subnet_id}")


async def _asked(
    request: Request,
    session: Session,
    vpc_id: str,
    subnet_id: str = "",
    *,
    form: Typed | None = None,
    error: errors.SidegateError | None = None,
) -> Response:
    form, problem = form or Typed(), problem_with(error)
    return page(
        request,
        "networks/subnet_form.html",
        status_of(problem),
        form=form,
        problem=problem,
        vpc=await session.client.vpcs.get(vpc_id),
        subnet=(subnet := await session.client.subnets.get(subnet_id) if subnet_id else None),
        etag=etag_with(error, form, subnet.etag if subnet else ""),
    )
