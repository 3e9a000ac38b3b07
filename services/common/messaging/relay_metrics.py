"""Numbers of the relay that publishes a program's log."""

from prometheus_client import Counter

from services.common.telemetry.metrics import REGISTRY

SETTLES = Counter(
    "sidegate_relay_settles", "Times that the relay looked at the stream to find its footing.", registry=REGISTRY
)
FORKS = Counter(
    "sidegate_relay_forks", "Times that stream and log told different histories: a new epoch began.", registry=REGISTRY
)
PUBLISHED = Counter("sidegate_relay_published_events", "Events that were published.", registry=REGISTRY)
FAILURES = Counter("sidegate_relay_failures", "Times that the relay could not go on.", registry=REGISTRY)
