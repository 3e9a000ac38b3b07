"""What is told of every request: an id in its answer, a line in the log, numbers, a step of its trace."""

import time
import uuid
from collections.abc import Mapping
from typing import Protocol

import structlog
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common.telemetry import tracing
from sidegate.tracing import KEY

REQUEST_ID = "X-Request-Id"
READS = frozenset({"GET", "HEAD", "OPTIONS"})

log = structlog.get_logger(__name__)


class Ledger(Protocol):
    """A program's own numbers."""

    def began(self) -> None: ...

    def ended(self, scope: Scope, status: int, took: float) -> Mapping[str, str]:
        """What the log has of the request; `operation` among it, which is one of few. `took` is in seconds."""
        ...


class Observing:
    """Around the whole application: what others refuse is told, too."""

    def __init__(self, app: ASGIApp, ledger: Ledger) -> None:
        self._app, self._ledger = app, ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number, status, began = uuid.uuid4().hex, 0, time.perf_counter()
        span = tracing.start("HTTP", Headers(scope=scope).get(KEY, ""), SpanKind.SERVER)
        contexts.attach(trace.set_span_in_context(span))  # a request has a task, so a context, of its own

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = number
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request=number)
        scope.setdefault("state", {})["request_id"] = number
        self._ledger.began()
        try:
            await self._app(scope, receive, answer)
        finally:
            took = time.perf_counter() - began
            _tell(scope, status, took, self._ledger.ended(scope, status, took), span)


def _tell(scope: Scope, status: int, took: float, about: Mapping[str, str], span: Span) -> None:
    say = log.error if status >= 500 else log.debug if status < 400 and scope["method"] in READS else log.info
    span.update_name(f"HTTP {about['operation']}")
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR, str(status))
    span.end()
    say("request", **about, method=scope["method"], status=status, duration=round(took, 6))
