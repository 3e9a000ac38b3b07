"""Accounts and their projects."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.operators.secrets import shown_once
from services.console.pages.asking import problem_with, status_of
from services.console.pages.forms import Typed, typed
from services.console.pages.paging import paging, skipped
from services.console.pages.rendering import page, to
from services.console.pages.words import gettext as _
from services.console.sessions.access import Operator
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.api.registry.v1.account_pb2 import ROLE_ADMIN, ROLE_OPERATOR, ROLE_VIEWER
from sidegate.conditions import under

OWN = "operator"

router = APIRouter()


@router.get("/operator/accounts")
async def accounts(request: Request, session: Operator) -> Response:
    name = request.query_params.get("name", "").strip()[:63]
    found = await session.own.accounts.page(skip=skipped(request), name_contains=name)
    return page(
        request, "operators/accounts.html", accounts=found.items, name=name, paging=paging(request, found.total)
    )


@router.get("/operator/accounts/new")
async def new(request: Request, _session: Operator) -> Response:
    return page(request, "operators/account_form.html", form=Typed())


@router.post("/operator/accounts/new")
async def create(request: Request, session: Operator) -> Response:
    """The answer alone shows the first key's secret."""
    form = await typed(request)
    try:
        made = await session.own.accounts.create(form.text("name"), request_id=form.request_id)
    except errors.SidegateError as error:
        problem = problem_with(error)
        return page(request, "operators/account_form.html", status_of(problem), form=form, problem=problem)
    return shown_once(request, made.key, _("Account %(name)s is there.", name=made.account.name))


@router.get("/operator/accounts/{name}")
async def account(request: Request, name: str, session: Operator) -> Response:
    return await shown(request, session, name)


@router.post("/operator/accounts/{name}/projects")
async def add_project(request: Request, name: str, session: Operator) -> Response:
    form = await typed(request)
    project = form.text("project")
    try:
        with under(etag=form.etag):
            await session.own.accounts.create_project(name, project, request_id=form.request_id)
    except errors.SidegateError as error:
        return await shown(request, session, name, form=form, error=error)
    session.say(_("Project %(name)s is there.", name=project))
    return to(f"/operator/accounts/{name}")


async def shown(
    request: Request,
    session: Session,
    name: str,
    *,
    form: Typed | None = None,
    error: errors.SidegateError | None = None,
) -> Response:
    """An account's page. Raises NotFound, and others of SidegateError."""
    problem = problem_with(error)
    found = await session.own.accounts.get(name)
    keys = [key async for key in session.own.accounts.keys(name)]
    return page(
        request,
        "operators/account.html",
        status_of(problem),
        account=found,
        keys=keys,
        roles=(ROLE_OPERATOR,) if name == OWN else (ROLE_ADMIN, ROLE_VIEWER),
        form=form or Typed(),
        problem=problem,
    )
