"""Subjects of a log of cells; apart, so that a program that a test starts imports little else."""

from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging import subjects

WHOLE_LOG = subjects.everything("endpoint")


def cell_subject(event: RecordedEvent) -> str:
    return subjects.endpoint(event.partition, "endpoint", "p1", event.stream.partition("-")[2])
