"""A new endpoint service, on one page."""

from fastapi import APIRouter, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from services.console.pages.forms import Typed, typed
from services.console.pages.problems import Problem, problem_of
from services.console.pages.rendering import page, to
from services.console.pages.words import gettext as _
from services.console.publishing import said
from services.console.publishing.fields import context_of
from services.console.publishing.machines import choices_of
from services.console.publishing.placing import placed
from services.console.publishing.rows import BACKENDS
from services.console.sessions.access import Signed
from services.console.sessions.session import Session, Tone
from sidegate import errors
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService

FILLED_IN = ("vpc_id", "server_type", "permissions")

router = APIRouter()


@router.get("/services/new")
async def new(request: Request, session: Signed) -> Response:
    """What the address says is filled in."""
    if session.reads_only:
        return to("/services")
    return await _asked(request, session, Typed(FormData({n: request.query_params.get(n, "") for n in FILLED_IN})))


@router.post("/services/new")
async def create(request: Request, session: Signed) -> Response:
    form = await typed(request)
    if form.checked("show_ports"):
        return await _asked(request, session, form)
    try:
        service = await _create(session, form)
    except said.Wrong as wrong:
        return await _asked(request, session, form, wrong.problem)
    except errors.SidegateError as error:
        return await _asked(request, session, form, problem_of(error))
    session.say(_("Service %(name)s is there.", name=service.name or service.id))
    await _permit(session, service, form)
    return to(f"/services/{service.id}")


@router.post("/services/new/backends")
async def backends(request: Request, session: Signed) -> Response:
    """The table of backends alone, with the ports of the VPC that is chosen now."""
    form = await typed(request)
    ports = await choices_of(session.client, form.text("vpc_id"))
    return page(request, "publishing/backend_rows.html", ports=ports, rows=BACKENDS.shown(form))


async def _asked(request: Request, session: Session, form: Typed, problem: Problem | None = None) -> Response:
    vpcs = [vpc async for vpc in session.client.vpcs.list()]
    chosen = form.text("vpc_id") or (vpcs[0].id if len(vpcs) == 1 else "")
    shown = placed(problem, form) if problem else None
    return page(
        request,
        "publishing/new.html",
        problem.status if problem else 200,
        service=None,
        vpcs=vpcs,
        chosen=chosen,
        ports=await choices_of(session.client, chosen),
        **context_of(session, form, shown),
    )


async def _create(session: Session, form: Typed) -> EndpointService:
    said.permissions(form)  # what is wrong with them is said before anything is made
    check, limits, rules = said.health_check(form), said.consumer_limits(form), said.approval_rules(form)
    return await session.client.services.create(
        form.text("name"),
        form.text("vpc_id"),
        said.backends(form),
        said.mappings(form),
        approval_required=form.checked("approval_required"),
        description=form.text("description"),
        tags=said.tags(form),
        client_identity=said.identity(form.text("client_identity")),
        service_type=said.service_type(form),
        server_type=said.server_type(form),
        approval_rules=rules if rules.ListFields() else None,
        consumer_limits=limits if limits.ListFields() else None,
        session_settings=said.new_session_settings(form),
        health_check=check,
        private_name=form.text("private_name"),
        public_prefixes=form.list("public_prefixes"),
        policy_enabled=form.checked("policy_enabled"),
        request_id=form.request_id,
    )


async def _permit(session: Session, service: EndpointService, form: Typed) -> None:
    """The service is there either way; what comes of this is told on its page."""
    if not (wanted := said.permissions(form)):
        return
    try:
        await session.client.services.permit(service.id, wanted, request_id=f"{form.request_id[:36]}-permit")
    except errors.SidegateError as error:
        text = _("Nobody was let in yet, since that failed: %(why)s", why=problem_of(error).text)
        session.say(text, Tone.WARNING)
