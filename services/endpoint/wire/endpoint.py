"""An endpoint's events: each with the endpoint, its forwarding entry and its placement as they are after it."""

from ipaddress import IPv4Address
from typing import assert_never

from services.common.addressing import address_of, networks_of
from services.common.eventsourcing.store import NewEvent, RecordedEvent
from services.common.principal import Principal
from services.endpoint.domain.endpoint import (
    Absent,
    Accepted,
    ConnectionApproved,
    ConnectionNoted,
    ConnectionRejected,
    Creating,
    Deleted,
    Deleting,
    DrainEnded,
    EndpointActivated,
    EndpointChanged,
    EndpointDeleted,
    EndpointDeletionRequested,
    EndpointFailed,
    EndpointRequested,
    EndpointRerouted,
    Event,
    Failed,
    Known,
    PendingAcceptance,
    Rejected,
    SourceAddressLeased,
    SourcesAdded,
    State,
)
from services.endpoint.domain.facts import Facts, Placement, SourceLease
from services.endpoint.wire.labels import WHITELISTS, read_tags, tag_message, whitelist_of
from services.endpoint.wire.resource import endpoint_resource
from services.endpoint.wire.routing import route_message, routing_of
from services.endpoint.wire.stored import UnknownFact, packed, unpacked
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.events.v1 import endpoint_events_pb2 as events_pb
from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb
from sidegate.api.events.v1 import registry_events_pb2 as registry_pb


class EndpointCodec:
    """Between an endpoint's events and their stored form."""

    def encode(self, event: Event, state: State) -> NewEvent:
        if isinstance(state, Absent):
            raise TypeError(f"{type(event).__name__} leaves no endpoint")
        stored = _fact(event)
        stored.endpoint.CopyFrom(endpoint_resource(state))
        stored.forwarding.endpoint.CopyFrom(forwarding_entry(state))
        stored.placement.CopyFrom(_placement(state.facts))
        return packed(stored)

    def decode(self, recorded: RecordedEvent) -> Event:  # noqa: PLR0912 # a case for each fact
        stored = unpacked(recorded)
        at = stored.endpoint.update_time.ToNanoseconds()
        match stored.WhichOneof("fact"):
            case "requested":
                return EndpointRequested(facts_of(stored))
            case "approved":
                return ConnectionApproved(at, stored.approved.until)
            case "rejected":
                return ConnectionRejected(at, stored.rejected.reason, stored.rejected.drain_until)
            case "activated":
                return EndpointActivated(at, stored.activated.generation)
            case "changed":
                return _changed(at, stored)
            case "rerouted" if (routing := routing_of(stored.endpoint, stored.forwarding.endpoint)) is not None:
                return EndpointRerouted(at, routing)
            case "deletion_requested":
                return EndpointDeletionRequested(at, stored.deletion_requested.drain_until)
            case "deleted":
                return EndpointDeleted(at)
            case "failed":
                return EndpointFailed(at, stored.failed.reason)
            case "source_address_leased" | "sources_added":
                return _leased(at, stored)
            case "drain_ended":
                return DrainEnded(at)
            case "noted":
                noted_at = stored.placement.noted_at
                return ConnectionNoted(noted_at or at, stored.placement.note, unseen=noted_at > 0)
            case fact:
                raise UnknownFact(f"{recorded.type} ({fact}) is no event of an endpoint")

    def partition(self, state: State) -> str:
        return "" if isinstance(state, Absent) else state.facts.placement.cell


def _fact(event: Event) -> events_pb.EndpointEvent:  # noqa: PLR0912 # a case for each event
    match event:
        case EndpointRequested():
            return events_pb.EndpointEvent(requested=events_pb.EndpointRequested())
        case ConnectionApproved(until=until):
            return events_pb.EndpointEvent(approved=events_pb.ConnectionApproved(until=until))
        case ConnectionRejected(reason=reason, drain_until=until):
            return events_pb.EndpointEvent(rejected=events_pb.ConnectionRejected(reason=reason, drain_until=until))
        case EndpointActivated(generation=generation):
            return events_pb.EndpointEvent(activated=events_pb.EndpointActivated(generation=generation))
        case EndpointChanged():
            return events_pb.EndpointEvent(changed=_stored_change(event))
        case ConnectionNoted():
            return events_pb.EndpointEvent(noted=events_pb.ConnectionNoted())
        case EndpointRerouted():
            return events_pb.EndpointEvent(rerouted=events_pb.EndpointRerouted())
        case EndpointDeletionRequested(drain_until=until):
            requested = events_pb.EndpointDeletionRequested(drain_until=until)
            return events_pb.EndpointEvent(deletion_requested=requested)
        case DrainEnded():
            return events_pb.EndpointEvent(drain_ended=events_pb.DrainEnded())
        case EndpointDeleted():
            return events_pb.EndpointEvent(deleted=events_pb.EndpointDeleted())
        case EndpointFailed(reason=reason):
            return events_pb.EndpointEvent(failed=events_pb.EndpointFailed(reason=reason))
        case SourceAddressLeased() | SourcesAdded():
            return _stored_leases(event)
        case _:
            assert_never(event)


def forwarding_entry(state: Known) -> forwarding_pb.EndpointForwarding:
    """What gateways need of an endpoint: nothing passes unless it is Creating or Accepted, or its sessions drain."""
    facts = state.facts
    return forwarding_pb.EndpointForwarding(
        endpoint_id=facts.id,
        generation=facts.generation,
        removed=not isinstance(state, Creating | Accepted),
        marker_id=facts.marker,
        vpc_id=facts.vpc,
        address=str(facts.address),
        service_id=facts.service,
        allowed_cidrs=map(str, facts.admitted),
        admission=facts.admission,
        sources=map(_stored_lease, facts.sources),
        draining_until=facts.drain_until,
        dns_names=facts.dns_names if isinstance(state, Creating | Accepted) else (),
        routes=map(route_message, facts.routing.routes if facts.routing else ()),
    )


def facts_of(stored: events_pb.EndpointEvent) -> Facts:
    resource, entry = stored.endpoint, stored.forwarding.endpoint
    return Facts(
        id=resource.id,
        owner=Principal(resource.account, resource.project),
        name=resource.name,
        service=resource.service,
        service_full_name=resource.service_full_name,
        subnet=resource.subnet_id,
        vpc=resource.vpc_id,
        address=address_of(resource.address or entry.address),
        port=resource.port_id,
        marker=resource.marker_id,
        placement=_read_placement(stored.placement),
        created_at=resource.create_time.ToNanoseconds(),
        updated_at=resource.update_time.ToNanoseconds(),
        allowed=networks_of(resource.allowed_cidrs),
        sources=tuple(map(_lease, entry.sources)),
        generation=resource.generation,
        admission=entry.admission,
        version=int(resource.etag) + stored.placement.unseen_notes,
        description=resource.description,
        tags=read_tags(resource.tags),
        whitelist=whitelist_of(resource.whitelist),
        policy=resource.policy,
        dns=resource.dns_enabled,
        dns_names=tuple(resource.dns_names),
        note=stored.placement.note,
        pending_for=stored.placement.pending_for,
        accepted_for=stored.placement.accepted_for,
        expires_at=stored.placement.expires_at,
        counted=stored.placement.counted,
        service_version=stored.placement.service_version,
        drain_until=entry.draining_until,
        noted_at=stored.placement.noted_at,
        unseen=stored.placement.unseen_notes,
        routing=routing_of(resource, entry),
    )


def state_of(data: bytes) -> Known:
    """The endpoint after a stored event, from that event alone. Of Creating it knows only its last change's time."""
    stored = events_pb.EndpointEvent.FromString(data)
    facts = facts_of(stored)
    match stored.endpoint.state:
        case endpoint_pb.CONNECTION_STATE_PENDING_ACCEPTANCE:
            return PendingAcceptance(facts)
        case endpoint_pb.CONNECTION_STATE_CREATING:
            return Creating(facts, since=facts.updated_at)
        case endpoint_pb.CONNECTION_STATE_ACCEPTED:
            return Accepted(facts)
        case endpoint_pb.CONNECTION_STATE_REJECTED:
            return Rejected(facts, stored.endpoint.rejection)
        case endpoint_pb.CONNECTION_STATE_FAILED:
            return Failed(facts, stored.endpoint.failure)
        case endpoint_pb.CONNECTION_STATE_DELETING:
            return Deleting(facts)
        case endpoint_pb.CONNECTION_STATE_DELETED:
            return Deleted(facts)
        case unknown:
            raise UnknownFact(f"endpoint {facts.id} is in a state of a later version: {unknown}")


def _stored_change(event: EndpointChanged) -> events_pb.EndpointChanged:
    return events_pb.EndpointChanged(
        name=event.name,
        allowed_cidrs=None if event.allowed is None else events_pb.AllowedCidrs(cidrs=map(str, event.allowed)),
        description=event.description,
        tags=None if event.tags is None else registry_pb.Tags(tags=map(tag_message, event.tags)),
        whitelist=None if event.whitelist is None else WHITELISTS[event.whitelist],
        policy=event.policy,
        dns_enabled=event.dns,
        dns_names=None if event.dns_names is None else events_pb.DnsNames(names=event.dns_names),
        rerouted=event.routing is not None,
    )


def _changed(at: int, stored: events_pb.EndpointEvent) -> EndpointChanged:
    changed = stored.changed
    return EndpointChanged(
        at,
        name=changed.name if changed.HasField("name") else None,
        allowed=networks_of(changed.allowed_cidrs.cidrs) if changed.HasField("allowed_cidrs") else None,
        description=changed.description if changed.HasField("description") else None,
        tags=read_tags(changed.tags.tags) if changed.HasField("tags") else None,
        whitelist=whitelist_of(changed.whitelist) if changed.HasField("whitelist") else None,
        policy=changed.policy if changed.HasField("policy") else None,
        dns=changed.dns_enabled if changed.HasField("dns_enabled") else None,
        dns_names=tuple(changed.dns_names.names) if changed.HasField("dns_names") else None,
        routing=routing_of(stored.endpoint, stored.forwarding.endpoint) if changed.rerouted else None,
    )


def _stored_leases(event: SourceAddressLeased | SourcesAdded) -> events_pb.EndpointEvent:
    if isinstance(event, SourceAddressLeased):
        leased = events_pb.SourceAddressLeased(lease=_stored_lease(event.lease))
        return events_pb.EndpointEvent(source_address_leased=leased)
    added = events_pb.SourcesAdded(leases=map(_stored_lease, event.leases))
    return events_pb.EndpointEvent(sources_added=added)


def _leased(at: int, stored: events_pb.EndpointEvent) -> SourceAddressLeased | SourcesAdded:
    if stored.HasField("source_address_leased"):
        return SourceAddressLeased(at, _lease(stored.source_address_leased.lease))
    return SourcesAdded(at, tuple(map(_lease, stored.sources_added.leases)))


def _stored_lease(lease: SourceLease) -> forwarding_pb.SourceLease:
    return forwarding_pb.SourceLease(gateway_id=lease.gateway, address=str(lease.address))


def _lease(lease: forwarding_pb.SourceLease) -> SourceLease:
    return SourceLease(lease.gateway_id, IPv4Address(lease.address))


def _placement(facts: Facts) -> events_pb.EndpointPlacement:
    placement = facts.placement
    return events_pb.EndpointPlacement(
        cell=placement.cell,
        provider_account=placement.provider.account,
        provider_project=placement.provider.project,
        provider_vpc_id=placement.provider_vpc,
        note=facts.note,
        pending_for=facts.pending_for,
        accepted_for=facts.accepted_for,
        expires_at=facts.expires_at,
        counted=facts.counted,
        service_version=facts.service_version,
        noted_at=facts.noted_at,
        unseen_notes=facts.unseen,
    )


def _read_placement(stored: events_pb.EndpointPlacement) -> Placement:
    provider = Principal(stored.provider_account, stored.provider_project)
    return Placement(stored.cell, provider, stored.provider_vpc_id)
