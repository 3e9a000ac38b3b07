"""Around the application: a request is let in when its body is there and there is room for it."""

import re
from collections.abc import Callable
from contextlib import ExitStack

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common.https.bodies import Gone, TooLarge, TooSlow, replayed, whole
from services.http_api.errors import Refused
from services.http_api.limits.gate import TOO_LARGE, TOO_SLOW, Gate, met
from services.http_api.limits.values import Limits

CLAIMED = re.compile(r"\bAccess=([^,\s]{1,128})")
EVENT_STREAM = b"text/event-stream"


class Limited:
    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        answering = _Answering(send)
        try:
            await self._http(scope, receive, answering)
        except Refused as refusal:
            refused = JSONResponse(refusal.body, refusal.code.status, refusal.headers)
            await refused(scope, receive, answering)
        except Gone:
            return

    async def _http(self, scope: Scope, receive: Receive, answering: "_Answering") -> None:
        address, limits = _address(scope), self._gate.limits
        self._gate.knock(address, _claimed(scope))
        body = await _body(scope, receive, limits)
        with ExitStack() as taken:
            taken.enter_context(self._gate.flight(address))
            answering.on_stream = taken.close  # a stream of events is counted elsewhere, and takes nobody's place
            await self._app(scope, replayed(body, receive), answering)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """In flight until it is let in: a stream of events is counted elsewhere."""
        address = _address(scope)
        with ExitStack() as taken:
            try:
                self._gate.knock(address, _claimed(scope))
                taken.enter_context(self._gate.flight(address))
            except Refused as refusal:
                await send({"type": "websocket.close", "code": 1013, "reason": refusal.code.wire})
                return
            answering = _Answering(send)
            answering.on_stream = taken.close
            await self._app(scope, receive, answering)


class _Answering:
    """Sends, and lets go of what was taken as soon as the answer turns out to be a stream."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.on_stream: Callable[[], None] = _nothing

    async def __call__(self, message: Message) -> None:
        if _is_stream(message):
            self.on_stream()
        await self._send(message)


async def _body(scope: Scope, receive: Receive, limits: Limits) -> bytes:
    """The whole body. Raises Refused, and Gone."""
    try:
        return await whole(scope, receive, limits.body, limits.body_seconds)
    except TooLarge as error:
        raise met("body_size", TOO_LARGE, str(error)) from None
    except TooSlow as error:
        raise met("body_time", TOO_SLOW, str(error)) from None


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _claimed(scope: Scope) -> str:
    """The access key that the request names; anybody may name any."""
    found = CLAIMED.search(Headers(scope=scope).get("authorization", ""))
    return found[1] if found else ""


def _is_stream(message: Message) -> bool:
    if message["type"] != "http.response.start":
        return bool(message["type"] == "websocket.accept")
    return any(name == b"content-type" and value.startswith(EVENT_STREAM) for name, value in message["headers"])


def _nothing() -> None:
    pass
