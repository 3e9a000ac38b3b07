"""How backends of a service answer health checks: a line for each, gateway by gateway."""

from google.protobuf.duration_pb2 import Duration
from rich.console import RenderableType

from sidegate.api.endpoint.v1.backend_health_pb2 import BackendHealth, GetServiceHealthResponse
from sidegate.cli import facts, words
from sidegate.cli.outcome import Exit
from sidegate.cli.view import View, table

TITLES = ("gateway", "backend", "condition", "since", "new sessions", "answers in", "last error", "at")
FIELDS = ("address", "condition", "since", "takes_sessions", "median_time", "last_error", "last_error_time")
NOBODY_ASKS = "no gateway asks: the service asks for no health checks, or has no endpoint"


def view(health: GetServiceHealthResponse) -> View:
    """The exit code says whether a backend is unhealthy for some gateway."""
    unhealthy = any(
        backend.condition == BackendHealth.CONDITION_UNHEALTHY
        for gateway in health.gateways
        for backend in gateway.backends
    )
    return View(
        facts.of(health),
        lambda _: _drawn(health) if health.gateways else None,
        Exit.NO if unhealthy else Exit.OK,
        "" if health.gateways else NOBODY_ASKS,
    )


def _drawn(health: GetServiceHealthResponse) -> RenderableType:
    return table(TITLES, [_row(gateway.gateway_id, each) for gateway in health.gateways for each in gateway.backends])


def _row(gateway: str, backend: BackendHealth) -> list[str]:
    told = {name: words.field(backend, name) for name in FIELDS}
    if backend.draining:
        told["takes_sessions"] = "no: draining"
    if backend.HasField("median_time"):
        told["median_time"] = milliseconds(backend.median_time)
    return [words.of(gateway), *told.values()]


def milliseconds(duration: Duration) -> str:
    return f"{duration.ToNanoseconds() / 1e6:.1f} ms"
