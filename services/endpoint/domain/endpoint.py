"""An endpoint's life: its states, what happens to it, and what each event makes of a state."""

from dataclasses import dataclass, replace
from typing import Any, assert_never

from services.common.addressing import Network
from services.common.labels import Tag
from services.endpoint.domain.facts import Facts, SourceLease, Whitelist
from services.endpoint.domain.routes import Routing

MARKER = "marker"
CONSUMER = "consumer-endpoints"
"""The counter of an account's endpoints at one service."""
SOURCE_ADDRESS = "source-address"
ENDPOINTS = "endpoints"
"""The counter of a project's endpoints: each counts until it is Deleted, since it holds an address until then."""

CHANGEABLE = ("name", "allowed", "description", "tags", "whitelist", "policy", "dns", "dns_names")
"""What the owner can change of an endpoint, by the names that its facts, the command and the event have for it."""

CHANGING = (*CHANGEABLE, "routing")
"""What is another after a change: the policy makes other routes, too."""


@dataclass(frozen=True, slots=True)
class Absent:
    """Never requested."""


@dataclass(frozen=True, slots=True)
class PendingAcceptance:
    facts: Facts


@dataclass(frozen=True, slots=True)
class Creating:
    facts: Facts
    since: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """`since` is when it was approved; a state that was read from its last event alone does not know it."""

    facts: Facts
    since: int = 0


@dataclass(frozen=True, slots=True)
class Rejected:
    """The reason is empty where the service's owner decided so."""

    facts: Facts
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    facts: Facts
    reason: str


@dataclass(frozen=True, slots=True)
class Deleting:
    facts: Facts


@dataclass(frozen=True, slots=True)
class Deleted:
    facts: Facts


Known = PendingAcceptance | Creating | Accepted | Rejected | Failed | Deleting | Deleted
State = Absent | Known
Live = PendingAcceptance | Creating | Accepted | Rejected
Forwarded = Creating | Accepted


@dataclass(frozen=True, slots=True)
class EndpointRequested:
    facts: Facts


@dataclass(frozen=True, slots=True)
class ConnectionApproved:
    """Until when, if that was said; otherwise the rules say it."""

    at: int
    until: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionRejected:
    """The reason is empty where the service's owner decided so. Established sessions go on until then; 0: are cut."""

    at: int
    reason: str = ""
    drain_until: int = 0


@dataclass(frozen=True, slots=True)
class EndpointActivated:
    at: int
    generation: int


@dataclass(frozen=True, slots=True)
class EndpointChanged:
    """None stands for what stayed."""

    at: int
    name: str | None = None
    allowed: tuple[Network, ...] | None = None
    description: str | None = None
    tags: tuple[Tag, ...] | None = None
    whitelist: Whitelist | None = None
    policy: str | None = None
    dns: bool | None = None
    dns_names: tuple[str, ...] | None = None
    routing: Routing | None = None


@dataclass(frozen=True, slots=True)
class EndpointRerouted:
    """Its route tables have other subnets, or its service other ports."""

    at: int
    routing: Routing


@dataclass(frozen=True, slots=True)
class ConnectionNoted:
    """`unseen` by the consumer in every respect; before there were such notes, they changed its endpoint."""

    at: int
    note: str
    unseen: bool = False


@dataclass(frozen=True, slots=True)
class EndpointDeletionRequested:
    """Established sessions go on until then; 0: are cut."""

    at: int
    drain_until: int = 0


@dataclass(frozen=True, slots=True)
class DrainEnded:
    """Sessions that went on are cut."""

    at: int


@dataclass(frozen=True, slots=True)
class EndpointDeleted:
    at: int


@dataclass(frozen=True, slots=True)
class EndpointFailed:
    at: int
    reason: str


@dataclass(frozen=True, slots=True)
class SourceAddressLeased:
    at: int
    lease: SourceLease

    @property
    def leases(self) -> tuple[SourceLease, ...]:
        return (self.lease,)


@dataclass(frozen=True, slots=True)
class SourcesAdded:
    """A gateway's sessions need them: beside those that it had, and nothing is cut."""

    at: int
    leases: tuple[SourceLease, ...]


Event = (
    EndpointRequested
    | ConnectionApproved
    | ConnectionRejected
    | EndpointActivated
    | EndpointChanged
    | EndpointRerouted
    | EndpointDeletionRequested
    | EndpointDeleted
    | EndpointFailed
    | SourceAddressLeased
    | SourcesAdded
    | ConnectionNoted
    | DrainEnded
)


def evolve(state: State, event: Event) -> State:
    if isinstance(event, EndpointRequested):
        return PendingAcceptance(event.facts)
    if isinstance(state, Absent):
        raise TypeError(f"{type(event).__name__} of an endpoint that was never requested")
    return _next(state, event)


def _next(state: Known, event: Event) -> Known:  # noqa: PLR0912 # a case for each event
    facts = state.facts
    match event:
        case EndpointRequested(requested):
            return PendingAcceptance(requested)
        case ConnectionApproved(at, until):
            expires = until or (at + facts.accepted_for if facts.accepted_for else 0)
            # Sessions that drain are those of the admission before: they go on, if they may still.
            admission = facts.admission if at < facts.drain_until else facts.admission + 1
            approved = replace(_regenerated(facts, at), admission=admission, expires_at=expires, drain_until=0)
            return Creating(approved, since=at)
        case ConnectionRejected(at, reason, drain_until):
            return Rejected(_ending(facts, at, drain_until), reason)
        case EndpointActivated(at):
            return Accepted(_touched(facts, at), state.since if isinstance(state, Creating) else at)
        case EndpointChanged():
            return replace(state, facts=_changed(facts, event))
        case EndpointRerouted(at, routing):
            return replace(state, facts=replace(_regenerated(facts, at), routing=routing))
        case EndpointDeletionRequested(at, drain_until):
            return Deleting(replace(_ending(facts, at, drain_until), dns_names=()))
        case EndpointDeleted(at):
            return Deleted(replace(_touched(facts, at), drain_until=0))
        case EndpointFailed(at, reason):
            return Failed(replace(_ending(facts, at), dns_names=()), reason)
        case DrainEnded(at):
            return replace(state, facts=_ending(facts, at))
        case SourceAddressLeased(at) | SourcesAdded(at):
            return replace(state, facts=replace(_regenerated(facts, at), sources=(*facts.sources, *event.leases)))
        case ConnectionNoted(at, note, unseen):
            return replace(state, facts=_noted(facts, at, note) if unseen else replace(_touched(facts, at), note=note))
        case _:
            assert_never(event)


def _touched(facts: Facts, at: int) -> Facts:
    return replace(facts, updated_at=at, version=facts.version + 1)


def _noted(facts: Facts, at: int, note: str) -> Facts:
    return replace(facts, noted_at=at, note=note, version=facts.version + 1, unseen=facts.unseen + 1)


def _regenerated(facts: Facts, at: int) -> Facts:
    return replace(_touched(facts, at), generation=facts.generation + 1)


def _ending(facts: Facts, at: int, drain_until: int = 0) -> Facts:
    return replace(_regenerated(facts, at), expires_at=0, drain_until=drain_until)


def _changed(facts: Facts, event: EndpointChanged) -> Facts:
    after = replace(_touched(facts, event.at), **news(event))
    return after if _forwarded(after) == _forwarded(facts) else replace(after, generation=facts.generation + 1)


def _forwarded(facts: Facts) -> object:
    """What a change may make another of what gateways are told."""
    return facts.admitted, facts.dns_names, facts.routing and facts.routing.routes


def news(change: object) -> dict[str, Any]:
    """What a change does not leave as it is, by its name in the facts."""
    return {name: new for name in CHANGING if (new := getattr(change, name, None)) is not None}
