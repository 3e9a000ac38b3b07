"""VPCs: the list, a new one, one's page."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages.forms import Typed, typed
from services.console.pages.problems import problem_of
from services.console.pages.rendering import page, to
from services.console.pages.words import gettext as _
from services.console.sessions.access import Signed
from sidegate import errors

router = APIRouter()


@router.get("/vpcs")
async def vpcs(request: Request, session: Signed) -> Response:
    found = [vpc async for vpc in session.client.vpcs.list()]
    return page(request, "networks/vpcs.html", vpcs=found)


@router.get("/vpcs/new")
async def new(request: Request, _session: Signed) -> Response:
    return page(request, "networks/new_vpc.html", form=Typed())


@router.post("/vpcs/new")
async def create(request: Request, session: Signed) -> Response:
    form = await typed(request)
    try:
        vpc = await session.client.vpcs.create(form.text("name"), form.list("cidrs"), request_id=form.request_id)
    except errors.SidegateError as error:
        problem = problem_of(error)
        return page(request, "networks/new_vpc.html", problem.status, form=form, problem=problem)
    session.say(_("VPC %(name)s is there.", name=vpc.name))
    return to("/vpcs")
