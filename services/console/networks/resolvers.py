"""The name server of a VPC."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.networks.inside import MOST_SUBNETS
from services.console.pages.asking import Id, etag_with, problem_with, status_of
from services.console.pages.forms import Typed, typed
from services.console.pages.rendering import page, to
from services.console.pages.words import gettext as _
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate import errors

router = APIRouter()


@router.get("/vpcs/{vpc_id}/resolver")
async def ask(request: Request, vpc_id: Id, session: Signed) -> Response:
    return await _asked(request, session, vpc_id, Typed())


@router.post("/vpcs/{vpc_id}/resolver")
async def give(request: Request, vpc_id: Id, session: Signed) -> Response:
    form = await typed(request)
    try:
        vpc = await session.client.vpcs.set_resolver(
            vpc_id,
            form.text("subnet_id"),
            address=form.text("address"),
            forwarders=form.list("forwarders"),
            etag=form.etag,
            request_id=form.request_id,
        )
    except errors.SidegateError as error:
        return await _asked(request, session, vpc_id, form, error)
    session.say(_("Machines of this VPC ask %(address)s for names.", address=vpc.resolver.address))
    return to(f"/vpcs/{vpc_id}#resolver")


async def _asked(
    request: Request, session: Session, vpc_id: str, form: Typed, error: errors.SidegateError | None = None
) -> Response:
    problem, vpc = problem_with(error), await session.client.vpcs.get(vpc_id)
    return page(
        request,
        "networks/resolver_form.html",
        status_of(problem),
        form=form,
        problem=problem,
        vpc=vpc,
        subnets=(await session.client.subnets.page(vpc_id=vpc_id, size=MOST_SUBNETS)).items,
        etag=etag_with(error, form, vpc.etag),
    )
