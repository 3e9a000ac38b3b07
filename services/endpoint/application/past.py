"""The endpoint service's past, as the contract shows it."""

from services.common.eventsourcing.store import RecordedEvent
from services.common.history.index import Index
from services.common.history.past import Facet, Past, Shown, of_counterpart, of_project
from services.endpoint.projections import ATTACHMENT, ENDPOINT, REDUCER, RESOLVER, SERVICE
from services.endpoint.wire.deeds import happenings_of
from services.endpoint.wire.endpoint import state_of
from services.endpoint.wire.forwarding import is_removed
from services.endpoint.wire.resource import connection_resource, endpoint_resource, typed
from services.endpoint.wire.stored import unpacked
from sidegate.api.events.v1.history_pb2 import ResourceState

CONNECTION = "connection"


def show(shown: Shown, event: RecordedEvent, _index: Index) -> ResourceState:
    state = state_of(event.data)
    if shown.kind == CONNECTION:
        return ResourceState(connection=connection_resource(state))
    return ResourceState(endpoint=typed(endpoint_resource(state)))


def show_entry(_shown: Shown, event: RecordedEvent) -> ResourceState | None:
    entry = unpacked(event).forwarding
    return None if is_removed(entry) else ResourceState(entry=entry)


PAST: Past[ResourceState] = Past(
    reducer=REDUCER,
    facets={ENDPOINT: Facet(ENDPOINT, of_project), CONNECTION: Facet(ENDPOINT, of_counterpart)},
    show=show,
    tables={kind: kind for kind in (ATTACHMENT, SERVICE, ENDPOINT, RESOLVER)},
    show_entry=show_entry,
    happenings=happenings_of,
)
