"""An endpoint's life: its states, what happens to it, and what each event makes of a state."""

from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address
from typing import Any, assert_never

from services.common.addressing import Address, Network
from services.common.labels import Tag
from services.common.principal import Principal
from services.endpoint.domain.whitelists import nobody

MARKER = "marker"
CONSUMER = "consumer-endpoints"
"""The counter of an account's endpoints at one service."""
SOURCE_ADDRESS = "source-address"
ENDPOINTS = "endpoints"
"""The counter of a project's endpoints: each counts until it is Deleted, since it holds an address until then."""

CHANGEABLE = ("name", "allowed", "description", "tags", "whitelist", "policy", "dns", "dns_names")
"""What the owner can change of an endpoint, by the names that its facts, the command and the event have for it."""


class Whitelist(Enum):
    """Whether the whitelist counts. AS_LISTED: where it is not empty."""

    AS_LISTED = "as_listed"
    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an endpoint is carried, and whose service is on its other side."""

    cell: str
    provider: Principal
    provider_vpc: str


@dataclass(frozen=True, slots=True)
class SourceLease:
    """An address that one gateway's connections for the endpoint come from, unique in the provider's VPC.

    A gateway has one from the beginning, and more behind it where its sessions need them.
    """

    gateway: str
    address: IPv4Address


@dataclass(frozen=True, slots=True)
class Facts:
    """What an endpoint has in every state. Times are nanoseconds since the epoch.

    `dns_names` are its own, and its service's as it was when DNS was turned on; it has them until it is to go.
    `generation` counts what alters forwarding, `admission` the approvals, `version` all events, `unseen` those that its
    owner sees nothing of, the last of them at `noted_at`. `note` is the service owner's, `policy` a JSON object or
    empty. `pending_for` and `accepted_for` (ns) are its service's rules of when it was requested, `expires_at` is when
    it ends by itself; 0: never. `service_version` is that of the service as the request saw it; 0: not known. Sessions
    that were established before it was Rejected or Deleting go on until `drain_until`; 0: they are cut.
    """

    id: str
    owner: Principal
    name: str
    service: str
    service_full_name: str
    subnet: str
    vpc: str
    address: Address
    port: str
    marker: int
    placement: Placement
    created_at: int
    updated_at: int
    allowed: tuple[Network, ...] = ()
    sources: tuple[SourceLease, ...] = ()
    generation: int = 1
    admission: int = 0
    version: int = 1
    description: str = ""
    tags: tuple[Tag, ...] = ()
    whitelist: Whitelist = Whitelist.AS_LISTED
    policy: str = ""
    dns: bool = False
    dns_names: tuple[str, ...] = ()
    note: str = ""
    pending_for: int = 0
    accepted_for: int = 0
    expires_at: int = 0
    counted: bool = False
    service_version: int = 0
    drain_until: int = 0
    noted_at: int = 0
    unseen: int = 0

    @property
    def revision(self) -> int:
        """Changes with all that its owner sees of it, and with nothing else."""
        return self.version - self.unseen

    def sources_of(self, gateway: str) -> tuple[SourceLease, ...]:
        """Those of one gateway, the first of them first."""
        return tuple(lease for lease in self.sources if lease.gateway == gateway)

    @property
    def admitted(self) -> tuple[Network, ...]:
        """The sources that gateways let in; empty is everybody."""
        if self.whitelist is Whitelist.DISABLED:
            return ()
        return nobody(self.address) if self.whitelist is Whitelist.ENABLED and not self.allowed else self.allowed


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


def _next(state: Known, event: Event) -> Known:
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
    same = (after.admitted, after.dns_names) == (facts.admitted, facts.dns_names)
    return after if same else replace(after, generation=facts.generation + 1)


def news(change: object) -> dict[str, Any]:
    """What a change does not leave as it is, by its name in the facts."""
    return {name: new for name in CHANGEABLE if (new := getattr(change, name)) is not None}
