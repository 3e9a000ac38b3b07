"""Around the application: a request is let in when its body is there and there is room for it; streams end with us."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common.config import ConsoleSettings
from services.common.https.bodies import Gone, TooLarge, TooSlow, replayed, whole
from services.common.https.bounds import Bounds
from services.common.https.protocol import Farewell
from services.console.numbers import LIMITED, STREAMS
from services.console.pages.around import Around
from services.console.pages.rendering import alone
from services.console.pages.words import TAGS, language
from services.console.pages.words import gettext as _

EVENT_STREAM = b"text/event-stream"
TEXT = "text/plain; charset=utf-8"


def bounds_of(settings: ConsoleSettings) -> Bounds:
    return Bounds(
        head=settings.head_bytes,
        head_seconds=settings.head_seconds,
        body=settings.body_bytes,
        body_seconds=settings.body_seconds,
        send_seconds=settings.send_seconds,
        connections=settings.connections,
        connections_of_address=settings.connections_per_address,
    )


class Manners:
    """What a connection is told that ends before there is a request."""

    def met(self, limit: str) -> None:
        LIMITED.labels(limit).inc()

    def farewell(self, status: int, text: str) -> Farewell:
        return Farewell(TEXT, f"{text}\n".encode())


class Full(Exception):
    """There is no room now."""


MET: dict[type[Exception], tuple[HTTPStatus, str]] = {
    TooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_size"),
    TooSlow: (HTTPStatus.REQUEST_TIMEOUT, "body_time"),
    Full: (HTTPStatus.SERVICE_UNAVAILABLE, "in_flight"),
}


class Bounded:
    """The application within its bounds. `ending` is set when the program stops: streams have no end of their own."""

    def __init__(self, app: ASGIApp, settings: ConsoleSettings, ending: asyncio.Event) -> None:
        self._app, self._settings, self._ending = app, settings, ending
        self._in_flight, self._of_address = 0, Counter[str]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._admit(scope, receive, send)
        except (TooLarge, TooSlow, Full) as error:
            await _refusal(error, self._settings.body_bytes)(scope, receive, send)
        except Gone:
            return

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings = self._settings
        body = await whole(scope, receive, settings.body_bytes, settings.body_seconds)
        async with AsyncExitStack() as taken:
            await taken.enter_async_context(self._flight(scope))
            answering = _Answering(scope, send, taken)
            try:
                await self._app(scope, replayed(body, _ends_with(receive, self._ending, answering)), answering)
                if self._ending.is_set():
                    await answering.complete()
            finally:
                answering.over()

    @asynccontextmanager
    async def _flight(self, scope: Scope) -> AsyncIterator[None]:
        """One request of all that are in flight. Raises Full."""
        address = str(scope["client"][0]) if scope.get("client") else ""
        if (
            self._in_flight >= self._settings.in_flight
            or self._of_address[address] >= self._settings.in_flight_per_address
        ):
            raise Full
        self._in_flight += 1
        self._of_address[address] += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            self._of_address -= Counter((address,))


class _Answering:
    """Sends, and lets go of the request's place as soon as the answer turns out to be a stream."""

    def __init__(self, scope: Scope, send: Send, taken: AsyncExitStack) -> None:
        self._scope, self._send, self._taken = scope, send, taken
        self.streams = self._open = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_stream(message):
            self.streams = True
            self._scope.setdefault("state", {})["streams"] = True
            STREAMS.inc()
            await self._taken.aclose()
        self._open = message["type"] != "http.response.body" or message.get("more_body", False)
        await self._send(message)

    async def complete(self) -> None:
        """Ends a stream that was left where it was, so that it does not look as if we had broken off."""
        if self.streams and self._open:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def over(self) -> None:
        if self.streams:
            STREAMS.dec()


def _ends_with(receive: Receive, ending: asyncio.Event, answering: _Answering) -> Receive:
    """What really comes; for a stream, the program's end is as if the browser had gone away."""

    async def next_message() -> Message:
        if not answering.streams:
            return await receive()
        coming, end = asyncio.ensure_future(receive()), asyncio.ensure_future(ending.wait())
        try:
            await asyncio.wait((coming, end), return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else {"type": "http.disconnect"}
        finally:
            coming.cancel()
            end.cancel()

    return next_message


def _is_stream(message: Message) -> bool:
    return any(name == b"content-type" and value.startswith(EVENT_STREAM) for name, value in message["headers"])


def _words(error: Exception, most: int) -> tuple[str, str]:
    """What is the matter, and what to do."""
    match error:
        case TooLarge():
            text = _("This is more than the console takes: %(most)s bytes at most.", most=str(most))
            return text, _("Go back, and send less at a time.")
        case TooSlow():
            return _("What you sent took too long to come."), _("Go back, and try again.")
        case _:
            return _("Too many requests are being answered."), _("Try again in a moment.")


def _refusal(error: TooLarge | TooSlow | Full, most: int) -> ASGIApp:
    """A page in the reader's language, with the headers of all pages."""
    status, limit = MET[type(error)]
    LIMITED.labels(limit).inc()
    headers = {"Retry-After": "1"} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        text, way_out = _words(error, most)
        content = alone("limit.html", text=text, way_out=way_out, tag=TAGS[language()])
        await HTMLResponse(content, status, headers)(scope, receive, send)

    return Around(told)
