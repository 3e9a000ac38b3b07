"""What is told of every call: a line in the log, numbers, a step of its trace."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

import grpc
import structlog
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from prometheus_client import Counter, Gauge, Histogram

from services.common.rpc.auth import OPEN_TO_ALL
from services.common.rpc.calls import A, Context, Continuation, Handler, Q, Stream, Unary, wrapped
from services.common.telemetry import tracing
from services.common.telemetry.metrics import REGISTRY, SECONDS
from sidegate.tracing import KEY

READS = ("Get", "List", "Check", "Read", "Digest", "Snapshot", "Events", "Watch", "Follow", "Issue", "Verify")
ALARMS = {"INTERNAL": "error", "UNKNOWN": "error", "UNAVAILABLE": "warning", "DEADLINE_EXCEEDED": "warning"}
"""Codes that are nobody's refusal; being cancelled is ordinary."""

LONGEST_ID = 64

NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

HANDLED = Counter(
    "sidegate_grpc_server_handled", "Calls that have ended.", ["service", "method", "code"], registry=REGISTRY
)
SECONDS_TAKEN = Histogram(
    "sidegate_grpc_server_handling_seconds",
    "Time from a request to its answer, of calls with one answer.",
    ["service", "method"],
    buckets=SECONDS,
    registry=REGISTRY,
)
IN_FLIGHT = Gauge(
    "sidegate_grpc_server_in_flight", "Calls that are being answered.", ["service", "method"], registry=REGISTRY
)

log = structlog.get_logger(__name__)


class Meter:
    """The numbers of one method."""

    def __init__(self, path: str) -> None:
        self.path = path.removeprefix("/")
        self._service, _, self.method = self.path.rpartition("/")
        self.in_flight = IN_FLIGHT.labels(self._service, self.method)
        self.seconds = SECONDS_TAKEN.labels(self._service, self.method)
        self._handled: dict[str, Counter] = {}

    def handled(self, code: str) -> Counter:
        if code not in self._handled:
            self._handled[code] = HANDLED.labels(self._service, self.method, code)
        return self._handled[code]


@dataclass(frozen=True, slots=True)
class Call:
    """One call, from its request on. It has a task, so a context of its own: nothing is put back at its end."""

    meter: Meter
    write: bool
    span: Span
    began: float

    @classmethod
    def begin(cls, meter: Meter, request: object, context: Context) -> Self:
        parent = next((str(value) for key, value in context.invocation_metadata() or () if key == KEY), "")
        span = tracing.start(meter.path, parent, SpanKind.SERVER)
        contexts.attach(trace.set_span_in_context(span))
        request_id = str(getattr(request, "request_id", ""))[:LONGEST_ID]
        about = {
            "method": meter.method,
            "request_id": request_id if request_id.isprintable() else "",  # nobody has checked it yet
        }
        structlog.contextvars.bind_contextvars(**{key: value for key, value in about.items() if value})
        meter.in_flight.inc()
        return cls(meter, changes_something(meter.method, request), span, time.perf_counter())

    def end(self, code: str, *, answers_once: bool) -> None:
        took = time.perf_counter() - self.began
        self.meter.in_flight.dec()
        self.meter.handled(code).inc()
        if answers_once:
            self.meter.seconds.observe(took)
        getattr(log, self._level(code))("call", code=code, duration=round(took, 6))
        if code in ALARMS:
            self.span.set_status(StatusCode.ERROR, code)
        self.span.set_attribute("rpc.grpc.status", code)
        self.span.end()

    def _level(self, code: str) -> str:
        if code == "CANCELLED" or (code == "OK" and not self.write):
            return "debug"
        return ALARMS.get(code, "info")


def changes_something(method: str, request: object) -> bool:
    """Whether the call is worth a line although nothing went wrong; a gateway that renews its lease is not."""
    return not method.startswith(READS) and bool(getattr(request, "endpoints", True))


def _code(error: BaseException | None, context: Context) -> str:
    match error:
        case None:
            return "OK"
        case grpc.aio.AbortError():
            code: object = context.code()
            return NAMES.get(code, "UNKNOWN") if isinstance(code, int) else getattr(code, "name", "UNKNOWN")
        case Exception():
            return "UNKNOWN"
        case _:
            return "CANCELLED"


def _observe_unary(method: Unary, meter: Meter) -> Unary:
    async def observed(request: object, context: Context) -> object:
        call, error = Call.begin(meter, request, context), None
        try:
            return await method(request, context)
        except BaseException as found:
            error = found
            raise
        finally:
            call.end(_code(error, context), answers_once=True)

    return observed


def _observe_stream(method: Stream, meter: Meter) -> Stream:
    async def observed(request: object, context: Context) -> AsyncIterator[object]:
        call, error = Call.begin(meter, request, context), None
        try:
            async for answer in method(request, context):
                yield answer
        except BaseException as found:
            error = found
            raise
        finally:
            call.end(_code(error, context), answers_once=False)

    return observed


class Observer(grpc.aio.ServerInterceptor):
    """Stands outside of the guard, which turns errors into codes; health and reflection are not worth a word."""

    async def intercept_service(
        self, continuation: Continuation[Q, A], details: grpc.HandlerCallDetails
    ) -> Handler[Q, A]:
        handler, path = await continuation(details), str(details.method)
        if handler is None or path.startswith(OPEN_TO_ALL):
            return handler
        meter = Meter(path)
        return wrapped(
            handler, lambda method: _observe_unary(method, meter), lambda method: _observe_stream(method, meter)
        )
