"""What a project's own programs hear of its endpoints, and of the connections to its services."""

from collections.abc import Sequence

from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging import subjects
from services.common.messaging.views import ENDPOINT_VIEWS, Viewed, view_form
from services.common.watching.sight import Sight
from services.endpoint.wire.sights import Change, sights_of
from sidegate.api.endpoint.v1.watch_pb2 import EndpointChange
from sidegate.api.events.v1.view_pb2 import View


def views_of(event: RecordedEvent) -> Sequence[Viewed]:
    """The consumer's, then the provider's, each in a message of its own."""
    return [_viewed(sight) for sight in sights_of(event)]


def _viewed(sight: Sight[Change]) -> Viewed:
    change, (owner,) = sight.change, sight.audience
    view = View(time=change.time, what=change.what, deleted=change.deleted)
    if isinstance(change, EndpointChange):
        view.endpoint.CopyFrom(change.endpoint)
    else:
        view.connection.CopyFrom(change.connection)
    account, _, project = owner.partition("/")
    return Viewed(subjects.view(account, project, sight.kind, sight.id), view)


VIEWS = view_form(ENDPOINT_VIEWS, views_of, most=2)
