"""Numbers of an event store that writes in batches."""

import time
from collections.abc import Sequence

from prometheus_client import Counter, Histogram

from services.common.eventsourcing.store import Appended, Unavailable
from services.common.telemetry.metrics import REGISTRY, SECONDS

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

APPENDS = Counter(
    "sidegate_store_appends",
    "Commands that were to be written: recorded (also those that changed nothing), refused, or unavailable.",
    ["outcome"],
    registry=REGISTRY,
)
BATCH = Histogram(
    "sidegate_store_batch_appends", "Commands that one transaction wrote.", buckets=SIZES, registry=REGISTRY
)
COMMIT = Histogram(
    "sidegate_store_commit_seconds", "Time that the transaction of a batch took.", buckets=SECONDS, registry=REGISTRY
)
for _outcome in ("recorded", "refused", "unavailable"):
    APPENDS.labels(_outcome)


def outcome_of(outcome: Appended | Exception) -> str:
    match outcome:
        case Unavailable():
            return "unavailable"
        case Exception():
            return "refused"
        case _:
            return "recorded"


def wrote(outcomes: Sequence[Appended | Exception], began: float) -> None:
    """A batch that was begun then (of `time.perf_counter`) has come to its end."""
    COMMIT.observe(time.perf_counter() - began)
    BATCH.observe(len(outcomes))
    for outcome in outcomes:
        APPENDS.labels(outcome_of(outcome)).inc()
