"""The project's endpoints, page by page."""

from collections.abc import Mapping
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.endpoints.fields import tags_of
from services.console.pages.paging import SIZE, paging, skipped
from services.console.pages.problems import Problem, problem_of
from services.console.pages.rendering import page
from services.console.pages.states import said
from services.console.pages.words import gettext
from services.console.pages.words import marked as _
from services.console.sessions.access import Signed
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState, Endpoint
from sidegate.api.registry.v1.listing_pb2 import LIST_ORDER_CREATE_TIME, LIST_ORDER_UPDATE_TIME, TagFilter, TagMatch
from sidegate.client import Client
from sidegate.resources.paging import Page

router = APIRouter()

STATES: Mapping[str, ConnectionState.ValueType] = {
    "pendingAcceptance": ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE,
    "creating": ConnectionState.CONNECTION_STATE_CREATING,
    "accepted": ConnectionState.CONNECTION_STATE_ACCEPTED,
    "rejected": ConnectionState.CONNECTION_STATE_REJECTED,
    "failed": ConnectionState.CONNECTION_STATE_FAILED,
    "deleting": ConnectionState.CONNECTION_STATE_DELETING,
}
ORDERS: Mapping[str, str] = {
    "newest": _("newest first"),
    "oldest": _("oldest first"),
    "changed": _("last changed first"),
}


@router.get("/endpoints")
async def index(request: Request, session: Signed) -> Response:
    asked = dict(request.query_params)
    problem: Problem | None = None
    found = Page[Endpoint]((), 0)
    try:
        found = await _found(session.client, asked, skipped(request))
    except errors.InvalidRequest as error:
        problem = problem_of(error)
    vpcs = {vpc.id: vpc.name async for vpc in session.client.vpcs.list()}
    return page(
        request,
        "endpoints/index.html",
        problem.status if problem else 200,
        endpoints=found.items,
        paging=paging(request, found.total),
        vpcs=vpcs,
        asked=asked,
        here_with_query=f"{request.url.path}?{request.url.query}",
        filtered=any(asked.get(name) for name in ("name", "state", "service", "vpc", "tag")),
        states={name: said(name) for name in STATES},
        orders={name: gettext(word) for name, word in ORDERS.items()},
        problem=problem,
    )


async def _found(client: Client, asked: Mapping[str, str], skip: int) -> Page[Endpoint]:
    service, state, order = asked.get("service", "").strip(), asked.get("state", ""), asked.get("order", "newest")
    by_id = _is_id(service)
    return await client.endpoints.page(
        skip=skip,
        size=SIZE,
        states=[STATES[state]] if state in STATES else (),
        name_contains=asked.get("name", "").strip(),
        service_id=service if by_id else "",
        service_name_contains="" if by_id else service,
        vpc_id=asked.get("vpc", "").strip(),
        tags=_tagged(asked.get("tag", "")),
        newest_first=order != "oldest",
        order=LIST_ORDER_UPDATE_TIME if order == "changed" else LIST_ORDER_CREATE_TIME,
    )


def _tagged(text: str) -> TagFilter | None:
    """key=value, or a key with any value; all of several, with commas between them."""
    tags = tags_of(text.replace(",", "\n"))
    if not tags:
        return None
    return TagFilter(all=[TagMatch(key=tag.key, values=[tag.value] if tag.value else []) for tag in tags])


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
