"""The names under which events are stored, and the subjects under which they are published. Never renamed."""

from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.messaging import subjects
from services.common.principal import OPERATOR
from sidegate.api.events.v1 import endpoint_events_pb2 as events_pb

TYPES = {
    "requested": "endpoint.v1.Requested",
    "approved": "endpoint.v1.Approved",
    "rejected": "endpoint.v1.Rejected",
    "activated": "endpoint.v1.Activated",
    "changed": "endpoint.v1.Changed",
    "deletion_requested": "endpoint.v1.DeletionRequested",
    "deleted": "endpoint.v1.Deleted",
    "failed": "endpoint.v1.Failed",
    "source_address_leased": "endpoint.v1.SourceAddressLeased",
    "sources_added": "endpoint.v1.SourcesAdded",
    "noted": "endpoint.v1.Noted",
    "drain_ended": "endpoint.v1.DrainEnded",
    "rerouted": "endpoint.v1.Rerouted",
    "service_forwarding_changed": "endpoint.v1.ServiceForwardingChanged",
    "attachment_changed": "endpoint.v1.AttachmentChanged",
    "resolver_changed": "endpoint.v1.ResolverChanged",
    "gateway_joined": "endpoint.v1.GatewayJoined",
    "gateway_lost": "endpoint.v1.GatewayLost",
    "gateway_retired": "endpoint.v1.GatewayRetired",
}
"""The stored name of each fact."""

ENDPOINT_STREAM = "endpoint-"
SERVICE_STREAM = "service_forwarding-"
ATTACHMENT_STREAM = "attachment-"
RESOLVER_STREAM = "resolver-"
GATEWAY_STREAM = "gateway-"


class UnknownFact(ValueError):
    """A stored event that this version does not know."""


def endpoint_stream(endpoint: str) -> str:
    return f"{ENDPOINT_STREAM}{endpoint}"


def service_stream(cell: str, service: str) -> str:
    return f"{SERVICE_STREAM}{cell}/{service}"


def attachment_stream(cell: str, vpc: str) -> str:
    return f"{ATTACHMENT_STREAM}{cell}/{vpc}"


def resolver_stream(cell: str, vpc: str) -> str:
    return f"{RESOLVER_STREAM}{cell}/{vpc}"


def gateway_stream(gateway: str) -> str:
    return f"{GATEWAY_STREAM}{gateway}"


def packed(event: events_pb.EndpointEvent) -> NewEvent:
    return NewEvent(TYPES[_fact(event)], event.SerializeToString(deterministic=True))


def unpacked(event: RecordedEvent) -> events_pb.EndpointEvent:
    return events_pb.EndpointEvent.FromString(event.data)


def _fact(event: events_pb.EndpointEvent) -> str:
    fact = event.WhichOneof("fact")
    if fact is None:
        raise UnknownFact("an event without a fact, or with one of a later version")
    return fact


def subject(event: RecordedEvent) -> str:
    """Where the event is published: its cell is its partition, and what is no project's is the operator's."""
    stored = unpacked(event)
    if stored.HasField("endpoint"):
        return subjects.endpoint(event.partition, "endpoint", stored.endpoint.project, stored.endpoint.id)
    kind, _, id_ = event.stream.partition("-")
    return subjects.endpoint(event.partition, kind, OPERATOR, id_.rpartition("/")[2])
