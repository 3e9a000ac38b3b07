"""Numbers of a program's traffic with NATS."""

from prometheus_client import Counter, Gauge

from services.common.telemetry.metrics import REGISTRY

CONNECTED = Gauge("sidegate_nats_connected", "Whether the program is connected to NATS.", registry=REGISTRY)
CHANGES = Counter("sidegate_nats_connection_changes", "Times that the connection was made or lost.", registry=REGISTRY)
SUBSCRIPTION_LAG = Gauge(
    "sidegate_subscription_lag_events",
    "Events of a log that NATS has and the program has not taken in yet.",
    ["log"],
    registry=REGISTRY,
)
SUBSCRIPTION_LOST = Counter(
    "sidegate_subscription_lost", "Times that a log's stream was lost and looked for again.", ["log"], registry=REGISTRY
)
GAPS = Counter(
    "sidegate_subscription_gaps", "Holes of a stream that were filled from the log itself.", ["log"], registry=REGISTRY
)


class _Link:
    """What CONNECTED says, for those who cannot read a gauge."""

    up = False


def tell_connected(up: bool) -> None:
    """The program's connection was made, or lost."""
    _Link.up = up
    CONNECTED.set(up)


def is_connected() -> bool:
    """What was told last."""
    return _Link.up
