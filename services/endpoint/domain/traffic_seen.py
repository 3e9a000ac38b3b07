"""What has passed, as somebody is shown it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.endpoint.domain.gateway import Joined, Member
from services.endpoint.domain.traffic_rates import Rate
from services.endpoint.domain.traffic_series import Series
from services.endpoint.domain.traffic_tallies import GatewayTally, Owned, Tally


@dataclass(frozen=True, slots=True)
class Seen:
    """All of one thing, since `began_at` (nanoseconds since the epoch)."""

    began_at: int
    total: Tally
    rate: Rate
    series: Series


@dataclass(frozen=True, slots=True)
class Connected:
    """What has passed for one connection."""

    of: Owned
    began_at: int
    total: Tally
    rate: Rate


@dataclass(frozen=True, slots=True)
class SeenService:
    """A service, or one connection of it, and what each of its connections has; `left_out` have less."""

    seen: Seen
    connections: Sequence[Connected]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """What passes for one endpoint now, as its owner or its service's may read it."""

    of: Owned
    owns: bool
    publishes: bool
    sessions: int
    rate: Rate


@dataclass(frozen=True, slots=True)
class SeenGateway:
    """One that is joined or lost. `heard_at` is when it last reported (nanoseconds since the epoch); 0: it has not.

    `tally` is None where it has not told of traffic since this program began.
    """

    member: Member
    heard_at: int
    tally: GatewayTally | None
    rate: Rate

    @property
    def joined(self) -> bool:
        return isinstance(self.member, Joined)
