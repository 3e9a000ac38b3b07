"""An endpoint as its owner sees it, and as a connection the service's owner does."""

from google.protobuf.timestamp_pb2 import Timestamp

from services.endpoint.domain.demand import Want
from services.endpoint.domain.endpoint import (
    Accepted,
    Creating,
    Deleted,
    Deleting,
    Failed,
    Known,
    PendingAcceptance,
    Rejected,
)
from services.endpoint.domain.presence import Readiness, Standing
from services.endpoint.wire.labels import WHITELISTS, tag_message
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService

STATES = {
    PendingAcceptance: endpoint_pb.CONNECTION_STATE_PENDING_ACCEPTANCE,
    Creating: endpoint_pb.CONNECTION_STATE_CREATING,
    Accepted: endpoint_pb.CONNECTION_STATE_ACCEPTED,
    Rejected: endpoint_pb.CONNECTION_STATE_REJECTED,
    Failed: endpoint_pb.CONNECTION_STATE_FAILED,
    Deleting: endpoint_pb.CONNECTION_STATE_DELETING,
    Deleted: endpoint_pb.CONNECTION_STATE_DELETED,
}
STAGES = {number: stage for stage, number in STATES.items()}


def endpoint_resource(state: Known) -> endpoint_pb.Endpoint:
    """The endpoint as it is stored."""
    facts = state.facts
    return endpoint_pb.Endpoint(
        id=facts.id,
        project=facts.owner.project,
        account=facts.owner.account,
        name=facts.name,
        service=facts.service,
        service_full_name=facts.service_full_name,
        subnet_id=facts.subnet,
        vpc_id=facts.vpc,
        address="" if facts.routing else str(facts.address),
        port_id=facts.port,
        allowed_cidrs=map(str, facts.allowed),
        marker_id=facts.marker,
        state=STATES[type(state)],
        failure=state.reason if isinstance(state, Failed) else "",
        generation=facts.generation,
        create_time=_timestamp(facts.created_at),
        update_time=_timestamp(facts.updated_at),
        etag=str(facts.revision),
        description=facts.description,
        tags=map(tag_message, facts.tags),
        whitelist=WHITELISTS[facts.whitelist],
        policy=facts.policy,
        dns_enabled=facts.dns,
        dns_names=facts.dns_names,
        rejection=state.reason if isinstance(state, Rejected) else "",
        expire_time=_timestamp(facts.expires_at) if facts.expires_at else None,
        drain_end_time=_timestamp(facts.drain_until) if facts.drain_until else None,
        route_tables=facts.routing.tables if facts.routing else (),
        public_prefixes=map(str, facts.routing.prefixes if facts.routing else ()),
    )


def typed(resource: endpoint_pb.Endpoint) -> endpoint_pb.Endpoint:
    """The same endpoint, with its type: it is not kept, for those of before there were two have none."""
    gateway = bool(resource.public_prefixes)
    resource.type = EndpointService.SERVICE_TYPE_GATEWAY if gateway else EndpointService.SERVICE_TYPE_INTERFACE
    return resource


def standing_of(resource: endpoint_pb.Endpoint) -> Standing:
    """What a stored endpoint's readiness depends on."""
    updated_at = resource.update_time.ToNanoseconds()
    return Standing(resource.id, STAGES[resource.state], resource.generation, updated_at, resource.failure)


def show(
    resource: endpoint_pb.Endpoint,
    readiness: Readiness,
    want: Want | None,
    answered_since: int | None,
) -> endpoint_pb.Endpoint:
    """The same resource, now with what the gateways say of it at the moment, and want for it.

    Its VPC has had a resolver since `answered_since` (ns since the epoch), or has none.
    """
    if resource.dns_names:
        resource.dns.CopyFrom(_answers(resource.vpc_id, readiness, answered_since))
    resource.applied_generation = readiness.applied_generation
    resource.ready.CopyFrom(_condition(readiness))
    resource.sources.CopyFrom(_sufficiency(want))
    return typed(resource)


def connection_resource(state: Known) -> endpoint_pb.Connection:
    facts = state.facts
    return endpoint_pb.Connection(
        endpoint_id=facts.id,
        service_id=facts.service,
        account=facts.owner.account,
        marker_id=facts.marker,
        state=STATES[type(state)],
        create_time=_timestamp(facts.created_at),
        update_time=_timestamp(max(facts.updated_at, facts.noted_at)),
        note=facts.note,
        rejection=state.reason if isinstance(state, Rejected) else "",
        expire_time=_timestamp(facts.expires_at) if facts.expires_at else None,
        drain_end_time=_timestamp(facts.drain_until) if facts.drain_until else None,
        etag=str(facts.version),
    )


def connection_of(stored: EndpointEvent) -> endpoint_pb.Connection:
    """As connection_resource, without a state: a list or a watch makes many."""
    resource = stored.endpoint
    return endpoint_pb.Connection(
        endpoint_id=resource.id,
        service_id=resource.service,
        account=resource.account,
        marker_id=resource.marker_id,
        state=resource.state,
        create_time=resource.create_time,
        update_time=_timestamp(connection_updated_at(stored)),
        note=stored.placement.note,
        rejection=resource.rejection,
        expire_time=resource.expire_time if resource.HasField("expire_time") else None,
        drain_end_time=resource.drain_end_time if resource.HasField("drain_end_time") else None,
        etag=str(int(resource.etag) + stored.placement.unseen_notes),
    )


def connection_updated_at(stored: EndpointEvent) -> int:
    """When the connection last changed, its note included; in nanoseconds since the epoch."""
    return max(stored.endpoint.update_time.ToNanoseconds(), stored.placement.noted_at)


def _condition(readiness: Readiness) -> endpoint_pb.Condition:
    return endpoint_pb.Condition(status=readiness.status, reason=readiness.reason, since=_timestamp(readiness.since))


def _answers(vpc: str, readiness: Readiness, answered_since: int | None) -> endpoint_pb.Condition:
    """Whether its names are answered: where packets pass, in a VPC that has a resolver."""
    if answered_since is None:
        text = f"its VPC has no resolver: `sidegate vpc resolver set {vpc} --subnet SUBNET` makes one"
        return endpoint_pb.Condition(reason=text)
    if not readiness.status:
        text = f"its names are answered when packets pass: {readiness.reason}"
        return endpoint_pb.Condition(reason=text, since=_timestamp(readiness.since))
    return endpoint_pb.Condition(status=True, since=_timestamp(max(readiness.since, answered_since)))


def _sufficiency(want: Want | None) -> endpoint_pb.Condition:
    if want is None:
        return endpoint_pb.Condition(status=True)
    return endpoint_pb.Condition(reason=want.shortage.value, since=_timestamp(want.since))


def _timestamp(nanoseconds: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(nanoseconds)
    return stamp
