"""Lists of services: one's own, and those of the platform."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.pages import states
from services.console.pages.paging import SIZE, paging, skipped
from services.console.pages.rendering import page
from services.console.publishing import options
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.listing_pb2 import TagFilter, TagMatch
from sidegate.resources.paging import Page
from sidegate.topology import states as topology_states

STATES = {word: state for state, (word, _tone) in topology_states.SERVICES.items()}
LONGEST_NAME, LONGEST_KEY, LONGEST_VALUE = 200, 128, 256

router = APIRouter()


@router.get("/services")
async def index(request: Request, session: Signed) -> Response:
    found = await _found(request, session)
    ids = [service.id for service in found.items]
    counts = await session.client.connections.counts(ids) if ids else {}
    waiting = [ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE]
    pending = await session.client.connections.counts(ids, states=waiting) if counts else {}
    return page(
        request,
        "publishing/index.html",
        services=found.items,
        paging=paging(request, found.total),
        counts=counts,
        pending=pending,
        states=[(word, states.said(word)) for word in options.EVERY_STATE],
        server_types=options.said(options.SERVER_TYPES),
        asked=request.query_params,
    )


@router.get("/services/public")
async def public(request: Request, session: Signed) -> Response:
    """The platform's, which everybody may connect to."""
    found = await session.client.services.page_platform(
        skip=skipped(request), full_name_contains=request.query_params.get("q", "").strip()[:LONGEST_NAME]
    )
    return page(
        request,
        "publishing/public.html",
        services=found.items,
        paging=paging(request, found.total),
        asked=request.query_params,
    )


async def _found(request: Request, session: Session) -> Page[EndpointService]:
    asked = request.query_params
    server_type = asked.get("type", "")
    types = EndpointService.ServerType
    state = STATES.get(asked.get("state", ""))
    return await session.client.services.page(
        skip=skipped(request),
        size=SIZE,
        full_name_contains=asked.get("q", "").strip()[:LONGEST_NAME],
        states=[] if state is None else [state],
        server_type=types.Value(server_type) if server_type in types.keys() else types.Value("SERVER_TYPE_UNSPECIFIED"),  # noqa: SIM118 # it is no mapping
        tags=tagged(asked.get("tag", "").strip()),
        newest_first=True,
    )


def tagged(text: str) -> TagFilter | None:
    """key, or key=value."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if not key:
        return None
    values = [value[:LONGEST_VALUE]] if equals else []
    return TagFilter(all=[TagMatch(key=key[:LONGEST_KEY], values=values)])
