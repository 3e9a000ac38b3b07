"""The stream of a page: an event for each kind of thing that has changed."""

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from services.console.live.hub import Hub, Listener
from services.console.sessions.access import COOKIE, NotSignedIn
from services.console.sessions.session import Session
from services.console.sessions.store import Sessions

LOOK_SECONDS = 2.0
"""How often is asked whether the session goes on, and something is said so that a lost connection shows."""

RETRY_MILLISECONDS = 1000
MOST_STREAMS = 20

router = APIRouter()


@router.get("/live")
async def live(request: Request) -> Response:
    """Events named for kinds, as hub.py has them. An open stream keeps no session alive: only its reader does."""
    sessions: Sessions = request.app.state.sessions
    session = sessions.find(request.cookies.get(COOKIE, ""), touch=False)
    if session is None:
        raise NotSignedIn
    if session.streams >= MOST_STREAMS:
        return Response(status_code=429, headers={"retry-after": "5"})
    return EventSourceResponse(_told(session, sessions, hub_of(session)))


def hub_of(session: Session) -> Hub:
    """The one of its client of the moment: who acts for another watches another's."""
    hub = session.kept.get("hub")
    if not isinstance(hub, tuple) or hub[0] is not session.client:
        hub = session.kept["hub"] = (session.client, Hub(session.client, session.end))
    found = hub[1]
    assert isinstance(found, Hub)  # noqa: S101 # it was put there above
    return found


async def _told(session: Session, sessions: Sessions, hub: Hub) -> AsyncIterator[ServerSentEvent]:
    session.streams += 1
    try:
        with hub.listening() as listener:
            yield ServerSentEvent("", event="begun", retry=RETRY_MILLISECONDS)
            async for event in _events(listener, session, sessions):
                yield event
    finally:
        session.streams -= 1


async def _events(listener: Listener, session: Session, sessions: Sessions) -> AsyncIterator[ServerSentEvent]:
    while sessions.goes_on(session):
        words = await listener.next(LOOK_SECONDS)
        for word in sorted(words):
            yield ServerSentEvent(json.dumps(sorted(words)), event=word)
        if not words:
            yield ServerSentEvent(comment="still here")
    yield ServerSentEvent("", event="ended")
