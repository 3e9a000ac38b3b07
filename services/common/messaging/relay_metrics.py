"""Numbers of the relays that publish a program's log: as it is (REG, EP), and as views (VIEW-REG, VIEW-EP)."""

from prometheus_client import Counter

from services.common.telemetry.metrics import REGISTRY

SETTLES = Counter(
    "sidegate_relay_settles",
    "Times that the relay looked at the stream to find its footing.",
    ["topic"],
    registry=REGISTRY,
)
FORKS = Counter(
    "sidegate_relay_forks",
    "Times that stream and log told different histories: a new epoch began.",
    ["topic"],
    registry=REGISTRY,
)
PUBLISHED = Counter("sidegate_relay_published_events", "Events that were published.", ["topic"], registry=REGISTRY)
FAILURES = Counter("sidegate_relay_failures", "Times that the relay could not go on.", ["topic"], registry=REGISTRY)
