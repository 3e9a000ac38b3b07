"""What there is to see of the endpoint service's events, field by field: for the consumer, and for the provider."""

from collections.abc import Mapping, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from services.common.eventsourcing.store import RecordedEvent
from services.common.watching.allowed import Allowed
from services.common.watching.sight import Sight
from services.endpoint.wire.resource import connection_of, typed
from sidegate.api.endpoint.v1.watch_pb2 import ConnectionChange, EndpointChange
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent

ENDPOINT, CONNECTION = "endpoint", "connection"

WORDS: Mapping[str, str] = {
    "requested": "requested",
    "approved": "approved",
    "rejected": "rejected",
    "activated": "activated",
    "changed": "changed",
    "deletion_requested": "deletion_requested",
    "deleted": "deleted",
    "failed": "failed",
    # A gateway joined: of that, owners see a higher generation and nothing else.
    "source_address_leased": "changed",
    # The same of one that needs more.
    "sources_added": "changed",
    "noted": "noted",
    "drain_ended": "drained",
    # What is routed to an endpoint, as its route tables and its service are now.
    "rerouted": "changed",
}
"""What happened, in a word, for each fact about an endpoint."""

PROVIDERS_OWN = frozenset({"noted"})
"""What happens on the provider's side only: consumers are not told."""

UNTOLD = frozenset(
    {
        *("service_forwarding_changed", "attachment_changed", "resolver_changed"),
        *("gateway_joined", "gateway_lost", "gateway_retired"),
    }
)
"""Facts of the operator's platform: no project is told of them."""

_API = "sidegate.api.endpoint.v1"
ALLOWED = Allowed(
    {
        f"{_API}.Endpoint": (
            *("id", "project", "account", "name", "service", "service_full_name", "subnet_id", "vpc_id", "address"),
            *("port_id", "allowed_cidrs", "marker_id", "state", "failure", "generation", "create_time"),
            *("update_time", "etag", "description", "tags", "whitelist", "policy", "dns_enabled"),
            "rejection",
            "expire_time",
            "drain_end_time",
            *("dns_names", "type", "route_tables", "public_prefixes"),
        ),
        f"{_API}.Connection": (
            *(
                "endpoint_id",
                "service_id",
                "account",
                "marker_id",
                "state",
                "create_time",
                "update_time",
                "note",
                "rejection",
                "expire_time",
                "drain_end_time",
                "etag",
            ),
        ),
        "sidegate.api.registry.v1.Tag": ("key", "value"),
    }
)
"""Of an endpoint, what its owner is told when it changes; of a connection, what the owner of its service is."""

WITHHELD: Mapping[str, Sequence[str]] = {
    # What gateways say at the moment is in no event.
    f"{_API}.Endpoint": ("ready", "applied_generation", "sources", "backends", "dns"),
}
"""What they are not told. A field is in one of the two: whoever adds one decides."""

Change = EndpointChange | ConnectionChange


def sights_of(event: RecordedEvent) -> Sequence[Sight[Change]]:
    stored = EndpointEvent.FromString(event.data)
    word = WORDS.get(stored.WhichOneof("fact") or "")
    if word is None:
        return ()
    seen, placement = stored.endpoint, stored.placement
    time, gone = Timestamp(), word == "deleted"
    time.FromNanoseconds(event.recorded_at)
    mine = EndpointChange(
        position=event.position, time=time, what=word, deleted=gone, endpoint=ALLOWED.show(typed(seen))
    )
    connection = ALLOWED.show(connection_of(stored))
    theirs = ConnectionChange(position=event.position, time=time, what=word, deleted=gone, connection=connection)
    consumer = frozenset({f"{seen.account}/{seen.project}"})
    provider = frozenset({f"{placement.provider_account}/{placement.provider_project}"})
    told: Sight[Change] = Sight(provider, CONNECTION, seen.id, theirs, parent=seen.service)
    return (told,) if word in PROVIDERS_OWN else (Sight(consumer, ENDPOINT, seen.id, mine, parent=seen.service), told)
