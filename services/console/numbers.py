"""What the console counts."""

from prometheus_client import Counter, Gauge, Histogram

from services.common.telemetry.metrics import REGISTRY, SECONDS

HANDLED = Counter(
    "sidegate_console_handled", "Requests that were answered.", ["route", "method", "status"], registry=REGISTRY
)
SECONDS_TAKEN = Histogram(
    "sidegate_console_handling_seconds",
    "Time from a request's head to the end of its answer, of all but event streams.",
    ["route"],
    buckets=SECONDS,
    registry=REGISTRY,
)
IN_FLIGHT = Gauge("sidegate_console_in_flight", "Requests that are being answered.", registry=REGISTRY)
STREAMS = Gauge("sidegate_console_streams", "Pages that are live: event streams that are open.", registry=REGISTRY)
SESSIONS = Gauge("sidegate_console_sessions", "Sessions of people who are signed in.", registry=REGISTRY)
SIGN_INS = Counter(
    "sidegate_console_sign_ins",
    "Attempts to sign in, by their result: in, refused, limited or failed.",
    ["result"],
    registry=REGISTRY,
)
LIMITED = Counter(
    "sidegate_console_limited", "Requests and connections that met a limit.", ["limit"], registry=REGISTRY
)
