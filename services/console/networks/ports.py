"""Ports: an address for a machine."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.networks.inside import MOST_SUBNETS
from services.console.pages.asking import Id, problem_with, status_of
from services.console.pages.forms import Typed, typed
from services.console.pages.rendering import page, to
from services.console.pages.words import gettext as _
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate import errors

router = APIRouter()


@router.get("/vpcs/{vpc_id}/ports/new")
async def new(request: Request, vpc_id: Id, session: Signed) -> Response:
    return await _asked(request, session, vpc_id, Typed())


@router.post("/vpcs/{vpc_id}/ports/new")
async def create(request: Request, vpc_id: Id, session: Signed) -> Response:
    form = await typed(request)
    holder = f"machine/{form.text('holder').removeprefix('machine/')}"
    try:
        port = await session.client.ports.create(
            form.text("subnet_id"), holder, form.text("address"), request_id=form.request_id
        )
    except errors.SidegateError as error:
        return await _asked(request, session, vpc_id, form, error)
    session.say(_("%(holder)s has %(address)s.", holder=port.holder, address=port.address))
    return to(f"/vpcs/{vpc_id}?port={port.id}#port-{port.id}")


async def _asked(
    request: Request, session: Session, vpc_id: str, form: Typed, error: errors.SidegateError | None = None
) -> Response:
    problem = problem_with(error)
    return page(
        request,
        "networks/port_form.html",
        status_of(problem),
        form=form,
        problem=problem,
        vpc=await session.client.vpcs.get(vpc_id),
        subnets=(await session.client.subnets.page(vpc_id=vpc_id, size=MOST_SUBNETS)).items,
        chosen=request.query_params.get("subnet", ""),
    )
