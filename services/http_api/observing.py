"""What is counted of every request."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import Scope

from services.common.telemetry.metrics import REGISTRY, SECONDS

HANDLED = Counter("sidegate_http_handled", "Requests that were answered.", ["operation", "status"], registry=REGISTRY)
SECONDS_TAKEN = Histogram(
    "sidegate_http_handling_seconds",
    "Time from a request's head to the end of its answer.",
    ["operation"],
    buckets=SECONDS,
    registry=REGISTRY,
)
IN_FLIGHT = Gauge("sidegate_http_in_flight", "Requests that are being answered.", registry=REGISTRY)


class Numbers:
    """The ledger of the API's requests."""

    def began(self) -> None:
        IN_FLIGHT.inc()

    def ended(self, scope: Scope, status: int, took: float) -> Mapping[str, str]:
        # The route's name is one of few; the path is the caller's to choose, and no label.
        operation = str(getattr(scope.get("route"), "name", "") or "none")
        IN_FLIGHT.dec()
        HANDLED.labels(operation, str(status)).inc()
        SECONDS_TAKEN.labels(operation).observe(took)
        return {"operation": operation}
