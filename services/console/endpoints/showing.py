"""The page of an endpoint, and its parts that are fetched anew."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console.endpoints import history, sentences
from services.console.endpoints.fields import whitelist_word
from services.console.endpoints.messages import said
from services.console.endpoints.naming import called
from services.console.endpoints.passing import SPANS, passed
from services.console.endpoints.reading import Known, get, ports_of, read
from services.console.pages.rendering import page
from services.console.pages.words import gettext as _
from services.console.sessions.access import Signed
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState, Endpoint

router = APIRouter()

ENOUGH = 286
"""Has htmx stop asking every two seconds."""

CHANGEABLE = (
    ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE,
    ConnectionState.CONNECTION_STATE_CREATING,
    ConnectionState.CONNECTION_STATE_ACCEPTED,
    ConnectionState.CONNECTION_STATE_REJECTED,
)


@router.get("/endpoints/{id_}")
async def show(id_: str, request: Request, session: Signed) -> Response:
    return await whole_page(request, session, await read(session.client, id_))


@router.get("/endpoints/{id_}/state")
async def state(id_: str, request: Request, session: Signed) -> Response:
    """What changes without an event: whether packets pass."""
    try:
        endpoint = await get(session.client, id_)
    except errors.NotFound:
        return page(request, "endpoints/gone.html", ENOUGH)
    return page(request, "endpoints/state.html", **await _state(session, endpoint))


@router.get("/endpoints/{id_}/events")
async def events(id_: str, request: Request, session: Signed) -> Response:
    """What has happened to it; of one that is gone, too, as long as it is told."""
    changes = await history.changes_of(session.client, id_)
    return page(request, "endpoints/events.html", id=id_, events=history.events(changes))


@router.get("/endpoints/{id_}/traffic")
async def traffic(id_: str, request: Request, session: Signed) -> Response:
    return page(request, "endpoints/traffic.html", id=id_, **await _traffic(request, session, id_))


async def whole_page(request: Request, session: Session, known: Known, **more: object) -> Response:
    """Also with what came of a test or a trace, where these are asked for without a script."""
    endpoint = known.endpoint
    shown = {
        "known": known,
        "name": called(endpoint),
        "id": endpoint.id,
        "whitelist": whitelist_word(endpoint),
        "said": said,
        "ports_of": ports_of,
        "events": history.events(await history.changes_of(session.client, endpoint.id)),
        "changeable": endpoint.state in CHANGEABLE,
        "tested": None,
        "traced": None,
    }
    shown |= await _state(session, endpoint) | await _traffic(request, session, endpoint.id) | more
    return page(request, "endpoints/show.html", **shown)


async def _state(session: Session, endpoint: Endpoint) -> dict[str, object]:
    return {
        "endpoint": endpoint,
        "sentences": sentences.told(endpoint, await history.since(session, endpoint)),
        "tone": sentences.tone(endpoint),
        "passes": endpoint.ready.status and endpoint.state in sentences.DECIDED,
    }


async def _traffic(request: Request, session: Session, id_: str) -> dict[str, object]:
    """What is not to be had now is left out: the page has more to tell."""
    span = request.query_params.get("span", "")
    span = span if span in SPANS else "10m"
    spans = {"10m": _("10 minutes"), "3h": _("3 hours")}
    shown: dict[str, object] = {"span": span, "spans": spans, "traffic": None}
    try:
        shown["traffic"] = passed(await session.client.endpoints.traffic(id_, span=SPANS[span]))
    except errors.SidegateError:
        return shown
    return shown
