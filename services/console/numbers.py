"""What the console counts."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import Scope

from services.common.telemetry.metrics import REGISTRY, SECONDS

HANDLED = Counter("sidegate_console_handled", "Requests that were answered.", ["route", "status"], registry=REGISTRY)
SECONDS_TAKEN = Histogram(
    "sidegate_console_handling_seconds",
    "Time from a request's head to the end of its answer, of all but event streams.",
    ["route"],
    buckets=SECONDS,
    registry=REGISTRY,
)
IN_FLIGHT = Gauge(
    "sidegate_console_in_flight", "Requests that are being answered, event streams among them.", registry=REGISTRY
)
STREAMS = Gauge("sidegate_console_streams", "Pages that are live: event streams that are open.", registry=REGISTRY)
SESSIONS = Gauge("sidegate_console_sessions", "Sessions of people who are signed in.", registry=REGISTRY)
SIGN_INS = Counter(
    "sidegate_console_sign_ins",
    "Attempts to sign in, by their result: in, refused, limited or failed.",
    ["result"],
    registry=REGISTRY,
)
for result in ("in", "refused", "limited", "failed"):
    SIGN_INS.labels(result)
LIMITED = Counter(
    "sidegate_console_limited", "Requests and connections that met a limit.", ["limit"], registry=REGISTRY
)


class Numbers:
    """The ledger of requests. Streams last for as long as somebody looks at a page: their time says nothing."""

    def began(self) -> None:
        IN_FLIGHT.inc()

    def ended(self, scope: Scope, status: int, took: float) -> Mapping[str, str]:
        route = route_of(scope)
        IN_FLIGHT.dec()
        HANDLED.labels(route, str(status)).inc()
        if not scope.get("state", {}).get("streams"):
            SECONDS_TAKEN.labels(route).observe(took)
        return {"operation": route, **scope.get("state", {}).get("who", {})}


def route_of(scope: Scope) -> str:
    """The template of the path: one of few. The path itself is the visitor's to choose, and no label."""
    path = getattr(scope.get("route"), "path", "")
    return str(path) or ("static" if scope["path"].startswith("/static/") else "none")
