"""What a provider's own programs hear of its services."""

from collections.abc import Sequence

from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging import subjects
from services.common.messaging.views import SERVICE_VIEWS, Viewed, view_form
from services.registry.wire.sights import sights_of
from sidegate.api.events.v1.view_pb2 import View


def views_of(event: RecordedEvent) -> Sequence[Viewed]:
    """Services only: networks and addresses are told to those who watch, whom the registry knows."""
    return [
        Viewed(
            subjects.view(service.account, service.project, "service", service.id),
            View(time=change.time, what=change.what, deleted=change.deleted, service=service),
        )
        for change in (sight.change for sight in sights_of(event) if sight.kind == "service")
        for service in (change.service,)
    ]


VIEWS = view_form(SERVICE_VIEWS, views_of, most=1)
