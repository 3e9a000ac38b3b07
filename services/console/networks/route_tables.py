"""Route tables: a new one, and changes of one."""

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


@router.get("/vpcs/{vpc_id}/route-tables/new")
async def new(request: Request, vpc_id: Id, session: Signed) -> Response:
    return await _asked(request, session, vpc_id)


@router.post("/vpcs/{vpc_id}/route-tables/new")
async def create(request: Request, vpc_id: Id, session: Signed) -> Response:
    form = await typed(request)
    try:
        table = await session.client.route_tables.create(
            form.text("name"),
            vpc_id,
            form.all("subnet_ids"),
            description=form.text("description"),
            request_id=form.request_id,
        )
    except errors.SidegateError as error:
        return await _asked(request, session, vpc_id, form=form, error=error)
    session.say(_("Route table %(name)s is there.", name=table.name))
    return to(f"/vpcs/{vpc_id}#route-table-{table.id}")


@router.get("/vpcs/{vpc_id}/route-tables/{table_id}/edit")
async def edit(request: Request, vpc_id: Id, table_id: Id, session: Signed) -> Response:
    return await _asked(request, session, vpc_id, table_id)


@router.post("/vpcs/{vpc_id}/route-tables/{table_id}/edit")
async def change(request: Request, vpc_id: Id, table_id: Id, session: Signed) -> Response:
    form = await typed(request)
    try:
        table = await session.client.route_tables.update(
            table_id,
            name=form.text("name"),
            subnet_ids=form.all("subnet_ids"),
            description=form.text("description"),
            etag=form.etag,
            request_id=form.request_id,
        )
    except errors.SidegateError as error:
        return await _asked(request, session, vpc_id, table_id, form=form, error=error)
    session.say(_("Route table %(name)s was changed.", name=table.name))
    return to(f"/vpcs/{vpc_id}#route-table-{table_id}")


async def _asked(
    request: Request,
    session: Session,
    vpc_id: str,
    table_id: str = "",
    *,
    form: Typed | None = None,
    error: errors.SidegateError | None = None,
) -> Response:
    client, form, problem = session.client, form or Typed(), problem_with(error)
    table = await client.route_tables.get(table_id) if table_id else None
    return page(
        request,
        "networks/route_table_form.html",
        status_of(problem),
        form=form,
        problem=problem,
        vpc=await client.vpcs.get(vpc_id),
        table=table,
        subnets=(await client.subnets.page(vpc_id=vpc_id, size=MOST_SUBNETS)).items,
        chosen=form.all("subnet_ids") if problem or not table else list(table.subnet_ids),
        etag=etag_with(error, form, table.etag if table else ""),
    )
