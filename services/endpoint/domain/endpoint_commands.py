"""What can be asked of an endpoint."""

from dataclasses import dataclass

from services.common.addressing import Network
from services.common.labels import Tag
from services.common.principal import Principal
from services.endpoint.domain.facts import Facts, SourceLease, Whitelist
from services.endpoint.domain.rerouting import Rerouting


@dataclass(frozen=True, slots=True)
class Request:
    """The consumer asks for an endpoint with these first facts."""

    facts: Facts
    approval_required: bool


@dataclass(frozen=True, slots=True)
class Change:
    """The consumer gives another whitelist, or says something else of it; None leaves it."""

    at: int
    by: Principal
    endpoint: str
    name: str | None = None
    allowed: tuple[Network, ...] | None = None
    description: str | None = None
    tags: tuple[Tag, ...] | None = None
    whitelist: Whitelist | None = None
    policy: str | None = None
    dns: bool | None = None
    dns_names: tuple[str, ...] | None = None
    routes: Rerouting | None = None


@dataclass(frozen=True, slots=True)
class Reroute:
    """What the registry says of an endpoint's route tables and service."""

    at: int
    routes: Rerouting


@dataclass(frozen=True, slots=True)
class Delete:
    """The consumer wants it away; established sessions go on for `drain` nanoseconds."""

    at: int
    by: Principal
    endpoint: str
    drain: int = 0


@dataclass(frozen=True, slots=True)
class Accept:
    """The service's owner lets packets pass; until then (ns since the epoch), if that is said."""

    at: int
    by: Principal
    service: str
    endpoint: str
    until: int = 0


@dataclass(frozen=True, slots=True)
class Reject:
    """The service's owner lets no packet pass; established sessions go on for `drain` nanoseconds."""

    at: int
    by: Principal
    service: str
    endpoint: str
    drain: int = 0


@dataclass(frozen=True, slots=True)
class Note:
    """The service's owner puts another note on the connection."""

    at: int
    by: Principal
    service: str
    endpoint: str
    note: str


@dataclass(frozen=True, slots=True)
class ConfirmForwarding:
    """Every joined gateway of the cell forwards this generation."""

    at: int
    generation: int


@dataclass(frozen=True, slots=True)
class ConfirmAbsence:
    """No gateway of the cell has anything left of it since this generation."""

    at: int
    generation: int


@dataclass(frozen=True, slots=True)
class Expire:
    """It must not be Creating for longer than `deadline` nanoseconds."""

    at: int
    deadline: int


@dataclass(frozen=True, slots=True)
class WithdrawService:
    """The service that it leads to is gone."""

    at: int


@dataclass(frozen=True, slots=True)
class Lapse:
    """Its time may be over."""

    at: int


@dataclass(frozen=True, slots=True)
class EndConnection:
    """The permission that let it in was removed at `before`, by `version` of its service, with all that is older."""

    at: int
    before: int
    version: int = 0


@dataclass(frozen=True, slots=True)
class LeaseSource:
    """A gateway needs a source address for it."""

    at: int
    lease: SourceLease


@dataclass(frozen=True, slots=True)
class AddSources:
    """The sessions of one gateway need more source addresses for it than the `beside` that the gateway has."""

    at: int
    leases: tuple[SourceLease, ...]
    beside: int


ProviderCommand = Accept | Reject | Note
CallerCommand = Change | Delete | ProviderCommand
"""Refused with words where it cannot be."""
Consequence = ConfirmForwarding | ConfirmAbsence | Expire | WithdrawService | Lapse | EndConnection | Reroute
SystemCommand = Consequence | LeaseSource | AddSources
"""Decided on what was seen earlier: where it no longer fits it changes nothing."""
Command = Request | CallerCommand | SystemCommand
