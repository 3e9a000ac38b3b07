"""What must hold across endpoints when one of them has an event: what is claimed, released and counted."""

from services.common.eventsourcing.store import Claim, Constraints, Count
from services.endpoint.domain import names
from services.endpoint.domain.endpoint import (
    CONSUMER,
    ENDPOINTS,
    MARKER,
    SOURCE_ADDRESS,
    Absent,
    EndpointChanged,
    EndpointDeleted,
    EndpointDeletionRequested,
    EndpointFailed,
    EndpointRequested,
    Event,
    Facts,
    Known,
    SourceAddressLeased,
    SourceLease,
    SourcesAdded,
    State,
    evolve,
)


def constraints(state: State, event: Event) -> Constraints:
    """A marker is never released: it names its endpoint in the provider's logs."""
    match event:
        case EndpointRequested(facts):
            marker = Claim(MARKER, str(facts.marker))
            sources = tuple(_claim(facts, lease) for lease in facts.sources)
            named = names.claims(facts.vpc, facts.dns_names)
            return Constraints(claims=(marker, *sources, *named), counts=_counts(facts, 1))
        case EndpointChanged() | EndpointDeletionRequested() | EndpointFailed() if not isinstance(state, Absent):
            return _renamed(state, event)
        case SourceAddressLeased() | SourcesAdded() if not isinstance(state, Absent):
            return Constraints(claims=tuple(_claim(state.facts, lease) for lease in event.leases))
        case EndpointDeleted() if not isinstance(state, Absent):
            facts = state.facts
            sources = tuple(_claim(facts, lease) for lease in facts.sources)
            return Constraints(releases=sources, counts=_counts(facts, -1))
        case _:
            return Constraints()


def _renamed(state: Known, event: Event) -> Constraints:
    """A name is free as soon as its endpoint is to go: another of the VPC may take its place."""
    after = evolve(state, event)
    before = names.claims(state.facts.vpc, state.facts.dns_names)
    now = () if isinstance(after, Absent) else names.claims(after.facts.vpc, after.facts.dns_names)
    return Constraints() if before == now else Constraints(releases=before, claims=now)


def _counts(facts: Facts, delta: int) -> tuple[Count, ...]:
    project = Count(ENDPOINTS, str(facts.owner), delta)
    return (project, Count(CONSUMER, f"{facts.service}/{facts.owner.account}", delta)) if facts.counted else (project,)


def _claim(facts: Facts, lease: SourceLease) -> Claim:
    return Claim(SOURCE_ADDRESS, f"{facts.placement.provider_vpc}/{lease.address}")
