"""The registry's past, as the contract shows it."""

from services.common.etags import stamped
from services.common.eventsourcing.store import RecordedEvent
from services.common.history.index import Index
from services.common.history.past import Facet, Past, Shown, of_project
from services.registry.projections import ATTACHMENT, PORT, REDUCER, REVISION, ROUTE_TABLE, SERVICE, SUBNET, VPC
from services.registry.wire import services
from services.registry.wire.deeds import happenings_of
from sidegate.api.events.v1.history_pb2 import ResourceState
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent

KINDS = (VPC, SUBNET, PORT, ATTACHMENT, SERVICE, ROUTE_TABLE)


def show(shown: Shown, event: RecordedEvent, index: Index) -> ResourceState:
    stored = RegistryEvent.FromString(event.data)
    match shown.kind:
        case VPC.name:
            vpc = stored.vpc
            vpc.etag = str(index[REVISION, shown.id].version)
            return ResourceState(vpc=vpc)
        case SUBNET.name:
            return ResourceState(subnet=stamped(stored.subnet))
        case PORT.name:
            return ResourceState(port=stored.port)
        case ATTACHMENT.name:
            return ResourceState(attachment=stored.attachment)
        case ROUTE_TABLE.name:
            return ResourceState(route_table=stamped(ROUTE_TABLE.of(stored)))
        case _:
            return ResourceState(service=services.shown(stored.service))


PAST: Past[ResourceState] = Past(
    reducer=REDUCER,
    facets={kind.name: Facet(kind.name, of_project) for kind in KINDS},
    show=show,
    tables={},
    show_entry=lambda _shown, _event: None,
    happenings=happenings_of,
)
