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
    Known,
    SourceAddressLeased,
    SourcesAdded,
    State,
    evolve,
)
from services.endpoint.domain.facts import Facts, SourceLease

ROUTE_TABLE, VPC_ROUTES = "route-table", "vpc-routes"
"""The kinds of claims that a route table, and a VPC, has one endpoint of a service."""


def constraints(state: State, event: Event) -> Constraints:
    """A marker is never released: it names its endpoint in the provider's logs."""
    match event:
        case EndpointRequested(facts):
            marker = Claim(MARKER, str(facts.marker))
            sources = tuple(_claim(facts, lease) for lease in facts.sources)
            named = names.claims(facts.vpc, facts.dns_names)
            return Constraints(claims=(marker, *sources, *named, *_routed(facts)), counts=_counts(facts, 1))
        case EndpointChanged() | EndpointDeletionRequested() | EndpointFailed() if not isinstance(state, Absent):
            return _renamed(state, event) + _moved(state, event)
        case SourceAddressLeased() | SourcesAdded() if not isinstance(state, Absent):
            return Constraints(claims=tuple(_claim(state.facts, lease) for lease in event.leases))
        case EndpointDeleted() if not isinstance(state, Absent):
            facts = state.facts
            sources = tuple(_claim(facts, lease) for lease in facts.sources)
            return Constraints(releases=(*sources, *_routed(facts)), counts=_counts(facts, -1))
        case _:
            return Constraints()


def _renamed(state: Known, event: Event) -> Constraints:
    """A name is free as soon as its endpoint is to go: another of the VPC may take its place."""
    after = evolve(state, event)
    before = names.claims(state.facts.vpc, state.facts.dns_names)
    now = () if isinstance(after, Absent) else names.claims(after.facts.vpc, after.facts.dns_names)
    return Constraints() if before == now else Constraints(releases=before, claims=now)


def _moved(state: Known, event: Event) -> Constraints:
    """Into other route tables."""
    after = evolve(state, event)
    before = _routed(state.facts)
    now = () if isinstance(after, Absent) else _routed(after.facts)
    return Constraints() if before == now else Constraints(releases=before, claims=now)


def _counts(facts: Facts, delta: int) -> tuple[Count, ...]:
    project = Count(ENDPOINTS, str(facts.owner), delta)
    return (project, Count(CONSUMER, f"{facts.service}/{facts.owner.account}", delta)) if facts.counted else (project,)


def _routed(facts: Facts) -> tuple[Claim, ...]:
    """The tables' first: who asks for one that is taken is told so."""
    if facts.routing is None:
        return ()
    tables = (Claim(ROUTE_TABLE, f"{table}/{facts.service}") for table in facts.routing.tables)
    return (*tables, gateway_claim(facts.vpc, facts.service))


def gateway_claim(vpc: str, service: str) -> Claim:
    """That a VPC has one endpoint of a gateway-type service. With an empty service its key is the prefix of all."""
    return Claim(VPC_ROUTES, f"{vpc}/{service}")


def _claim(facts: Facts, lease: SourceLease) -> Claim:
    return Claim(SOURCE_ADDRESS, f"{facts.placement.provider_vpc}/{lease.address}")
