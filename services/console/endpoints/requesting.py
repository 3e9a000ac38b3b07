"""A new endpoint, in one page: which service, where, what it would get, who may use it."""

from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from services.console.endpoints.choosing import Choices, choices_of, make, offered
from services.console.endpoints.naming import called
from services.console.endpoints.reading import ports_of
from services.console.pages.forms import Typed, typed
from services.console.pages.problems import Problem, at_fault, problem_of
from services.console.pages.rendering import page, to
from services.console.pages.words import gettext as _
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate import errors

router = APIRouter()


@router.get("/endpoints/new")
async def new(request: Request, session: Signed) -> Response:
    """`service`, `vpc_id` and `subnet_id` in the address are chosen already."""
    form = Typed(FormData(list(request.query_params.multi_items())))
    return await _form(request, session, form, await choices_of(session.client, form))


@router.get("/endpoints/new/services")
async def services(request: Request, session: Signed) -> Response:
    """Names for the field while it is typed into."""
    said = request.query_params.get("service", "").strip()
    return page(request, "endpoints/offers.html", offers=await offered(session.client, said))


@router.post("/endpoints/new/look")
async def look(request: Request, session: Signed) -> Response:
    """What the form has come to: as a part of the page, or as a page with all that was typed."""
    form = await typed(request)
    choices = await choices_of(session.client, form)
    if "hx-request" in request.headers:
        problem = _of_field(choices, form)
        return page(request, "endpoints/place.html", form=form, choices=choices, problem=problem, ports_of=ports_of)
    return await _form(request, session, form, choices)


@router.post("/endpoints/new")
async def create(request: Request, session: Signed) -> Response:
    form = await typed(request)
    try:
        choices = await choices_of(session.client, form)
        if problem := _missing(choices, form):
            return await _form(request, session, form, choices, problem)
        endpoint = await make(session.client, form, choices, form.request_id)
    except errors.SidegateError as error:
        return await _refused(request, session, form, problem_of(error))
    session.say(_("Endpoint %(name)s is requested.", name=called(endpoint)))
    return to(f"/endpoints/{endpoint.id}")


async def _refused(request: Request, session: Session, form: Typed, problem: Problem) -> Response:
    """The form again; without choices, where these cannot be had either."""
    try:
        choices = await choices_of(session.client, form)
    except errors.SidegateError:
        choices = Choices()
    return await _form(request, session, form, choices, problem)


async def _form(
    request: Request, session: Session, form: Typed, choices: Choices, problem: Problem | None = None
) -> Response:
    known = await offered(session.client, "") if choices.vpcs else ()
    return page(
        request,
        "endpoints/new.html",
        problem.status if problem else 200,
        form=form,
        choices=replace(choices, problem=None) if problem else choices,
        known=known,
        problem=problem or _of_field(choices, form),
        refused=problem is not None,
        ports_of=ports_of,
    )


def _missing(choices: Choices, form: Typed) -> Problem | None:
    """What the services cannot say, for they would not be asked."""
    if choices.service is None:
        return _of_field(choices, form) or at_fault("endpoint.service", _("Say which service it is to lead to."))
    if not choices.vpc:
        return at_fault("endpoint.vpc_id", _("Choose the VPC that it is to be in."))
    if not choices.by_routes and not choices.subnet:
        return at_fault("endpoint.subnet_id", _("Choose the subnet that it is to have its address in."))
    return None


def _of_field(choices: Choices, form: Typed) -> Problem | None:
    if choices.service is None and form.text("service"):
        if choices.offers:
            return at_fault("endpoint.service", _("Several services have this in their name: choose one."))
        text = _("No service that you may connect to is called so. Ask its owner for its full name, and to permit you.")
        return at_fault("endpoint.service", text)
    return choices.problem
