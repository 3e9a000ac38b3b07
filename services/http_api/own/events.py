"""The project's event stream, as server-sent events and by WebSocket."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import ExitStack, aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, WebSocket
from prometheus_client import Gauge
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

from services.common.telemetry.metrics import REGISTRY
from services.http_api.auth.caller import ProjectCaller, SignedRoute, acting_in_project
from services.http_api.auth.recognition import Recognition, request_of
from services.http_api.errors import Refused
from services.http_api.limits import Gate
from services.http_api.own.changes import KINDS
from services.http_api.own.following import follow, sources
from services.http_api.own.models import Event
from services.http_api.own.places import places_of
from services.http_api.refusals import refused
from services.http_api.upstream import Acting
from sidegate import errors

STREAMS = Gauge("sidegate_http_streams", "Event streams that are open.", ["transport"], registry=REGISTRY)
RETRY_MILLISECONDS = 2000
POLICY, AGAIN = 1008, 1013  # of WebSocket closes, RFC 6455 and its registry

Kinds = Annotated[
    str,
    Query(
        max_length=100,
        description="only these, with commas: vpc, subnet, port, attachment, service, endpoint, connection",
        examples=["service,connection"],
    ),
]
From = Annotated[
    str, Query(alias="from", max_length=512, description="the `id` of an event, 0 for the oldest, or nothing for now")
]

router = APIRouter(prefix="/sidegate/v1", tags=["events"], route_class=SignedRoute)
sockets = APIRouter(prefix="/sidegate/v1")

STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events without end: `changes`, `bookmark` at least every 5 s, `error` last. "
        "Data is an Event; `id` says where to go on.",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "required": ["event", "data"],
                    "properties": {
                        "event": {"type": "string", "enum": ["changes", "bookmark", "error"]},
                        "id": {"type": "string"},
                        "retry": {"type": "integer"},
                        "data": {"type": "string", "contentMediaType": "application/json"},
                    },
                }
            }
        },
    }
}


@router.get("/{project_id}/events", operation_id="FollowEvents", response_class=EventSourceResponse, responses=STREAM)
async def follow_events(
    caller: ProjectCaller,
    request: Request,
    kinds: Kinds = "",
    begin: From = "",
    last_event_id: Annotated[str, Header(max_length=512, description="wins over `from`")] = "",
) -> EventSourceResponse:
    """What happens to the project's resources, as it happens. The same by WebSocket at the same path with `/socket`.

    A place that is too old is refused with the oldest that there is. A reader who is too slow is cut off, and loses
    nothing by going on. The stream ends when its access key is revoked, and when its token ends after some minutes.
    """
    gate: Gate = request.app.state.gate
    return await _streamed(gate, caller, kinds_of(kinds), last_event_id or begin)


async def _streamed(gate: Gate, caller: Acting, kinds: Collection[str], begin: str) -> EventSourceResponse:
    with ExitStack() as taken:
        taken.enter_context(gate.stream(str(caller.project_id)))
        events = follow(caller, kinds, places_of(begin, sources(kinds)), gate.ending)
        first = await anext(events)
        held = taken.pop_all()
    return EventSourceResponse(_told(first, events, held))


async def _told(first: Event, events: AsyncGenerator[Event, None], held: ExitStack) -> AsyncIterator[ServerSentEvent]:
    with held, STREAMS.labels("sse").track_inprogress():
        async with aclosing(events):
            yield _sent(first, RETRY_MILLISECONDS)
            async for event in events:
                yield _sent(event)


def _sent(event: Event, retry: int | None = None) -> ServerSentEvent:
    return ServerSentEvent(event.model_dump_json(), event=event.event, id=event.id or None, retry=retry)


@sockets.websocket("/{project_id}/events/socket")
async def socket_events(
    socket: WebSocket,
    project_id: str,
    kinds: str = "",
    begin: From = "",
) -> None:
    """Each message is an Event in JSON; whatever the client says is not read."""
    gate: Gate = socket.app.state.gate
    try:
        with ExitStack() as taken:
            caller = await _caller(socket, project_id)
            taken.enter_context(gate.stream(str(caller.project_id)))
            wanted = kinds_of(kinds)
            events = follow(caller, wanted, places_of(begin, sources(wanted)), gate.ending)
            first = await anext(events)
            taken.enter_context(STREAMS.labels("websocket").track_inprogress())
            await socket.accept()
            await _spoken(socket, first, events, gate.limits.send_seconds)
    except (Refused, errors.SidegateError) as error:
        refusal = error if isinstance(error, Refused) else refused(error)
        await socket.send_denial_response(JSONResponse(refusal.body, refusal.code.status, refusal.headers))


async def _spoken(socket: WebSocket, first: Event, events: AsyncGenerator[Event, None], seconds: float) -> None:
    speaking = asyncio.create_task(_say_all(socket, first, events, seconds))
    listening = asyncio.create_task(_until_gone(socket))
    try:
        await asyncio.wait((speaking, listening), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (speaking, listening):
            task.cancel()
        await asyncio.gather(speaking, listening, return_exceptions=True)
        await events.aclose()


async def _say_all(socket: WebSocket, first: Event, events: AsyncGenerator[Event, None], seconds: float) -> None:
    try:
        await socket.send_text(first.model_dump_json())
        async for event in events:
            async with asyncio.timeout(seconds):
                await socket.send_text(event.model_dump_json())
            if event.event == "error":
                await socket.close(POLICY if event.error_code.endswith(".0003") else AGAIN, event.reason)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        return  # it went away, or does not read: what is open is closed by the server


async def _until_gone(socket: WebSocket) -> None:
    try:
        while True:
            await socket.receive_text()
    except (WebSocketDisconnect, KeyError, RuntimeError):
        return


async def _caller(socket: WebSocket, project_id: str) -> Acting:
    """Whoever asks, by the headers of the handshake, a GET: signed, or with a token."""
    recognition: Recognition = socket.app.state.recognition
    peer = socket.client.host if socket.client else ""
    came = request_of({**socket.scope, "method": "GET"}, socket.headers.raw, b"")
    found = await recognition.identify(came, peer, once=False)
    gate: Gate = socket.app.state.gate
    with gate.turn(found.acting.access_key, peer):
        return acting_in_project(found.acting, project_id)


def kinds_of(said: str) -> Collection[str]:
    """The kinds that are asked for; all but attachments, which are the operator's, where none is. Raises Refused."""
    if not said:
        return frozenset(KINDS) - {"attachment"}
    for kind in said.split(","):
        if kind not in KINDS:
            raise Refused("0002", f"kinds: '{kind[:32]}' is none of {', '.join(KINDS)}.")
    return frozenset(said.split(","))
