"""What is told of every request: an id in its answer, a line in the log, numbers, a step of its trace."""

import time
import uuid

import structlog
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common.telemetry import tracing
from services.common.telemetry.metrics import REGISTRY, SECONDS
from sidegate.tracing import KEY

REQUEST_ID = "X-Request-Id"
READS = frozenset({"GET", "HEAD", "OPTIONS"})

HANDLED = Counter("sidegate_http_handled", "Requests that were answered.", ["operation", "status"], registry=REGISTRY)
SECONDS_TAKEN = Histogram(
    "sidegate_http_handling_seconds",
    "Time from a request's head to the end of its answer.",
    ["operation"],
    buckets=SECONDS,
    registry=REGISTRY,
)
IN_FLIGHT = Gauge("sidegate_http_in_flight", "Requests that are being answered.", registry=REGISTRY)

log = structlog.get_logger(__name__)


class Observing:
    """Around the whole application: what others refuse is told, too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

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
        IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, answer)
        finally:
            IN_FLIGHT.dec()
            _tell(scope, status, time.perf_counter() - began, span)


def _tell(scope: Scope, status: int, took: float, span: Span) -> None:
    # The route's name is one of few; the path is the caller's to choose, and no label.
    operation = str(getattr(scope.get("route"), "name", "") or "none")
    HANDLED.labels(operation, str(status)).inc()
    SECONDS_TAKEN.labels(operation).observe(took)
    say = log.error if status >= 500 else log.debug if status < 400 and scope["method"] in READS else log.info
    span.update_name(f"HTTP {operation}")
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR, str(status))
    span.end()
    say("request", operation=operation, method=scope["method"], status=status, duration=round(took, 6))
