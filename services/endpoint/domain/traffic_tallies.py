"""What is kept of traffic: by endpoint, by service, and by gateway with what it has told. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.endpoint.domain.refusals import Cause
from services.endpoint.domain.traffic import MOST, NOTHING, Counted, Passed, refused_since

SECOND = 1_000_000_000
SILENT = 10 * SECOND
"""What passed for a gateway that has not told for so long is nothing that passes now."""

MOST_REASONS, OTHER = 100, "other"
"""So many of its own words for refusals are kept of a gateway; what it refuses for more of them is summed up in one."""

SLOW = 3
"""So many times what it takes between two reports otherwise, where that is longer."""


class Owned(NamedTuple):
    """Whose an endpoint is, and what never changes of it. `owner` and `provider` are account/project."""

    endpoint: str
    owner: str
    provider: str
    service: str
    cell: str
    marker: int
    created_at: int


@dataclass(slots=True)
class Tally:
    """All of one thing. `sessions` are those that there are now."""

    sessions: int = 0
    passed: Passed = NOTHING
    refused: dict[Cause, int] = field(default_factory=dict)

    def add(self, passed: Passed, refused: Mapping[Cause, int], sessions: int) -> None:
        if passed is not NOTHING:
            self.passed += passed
        self.sessions += sessions
        for cause, more in refused.items():
            self.refused[cause] = min(MOST, self.refused.get(cause, 0) + more)

    def join(self, change: "Tally") -> None:
        self.add(change.passed, change.refused, change.sessions)


@dataclass(slots=True, kw_only=True)
class EndpointTally(Tally):
    of: Owned


@dataclass(slots=True)
class ServiceTally(Tally):
    """`endpoints` are those that are there, and `going` is how many are gone that gateways may still tell of."""

    provider: str = ""
    endpoints: dict[str, EndpointTally] = field(default_factory=dict)
    going: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """How a gateway says that it is doing; `refused` is by its own words, since its counters began."""

    position: int = 0
    in_sync: bool = False
    version: str = ""
    sessions: int = 0
    session_capacity: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """One report: of an endpoint that was taken out and put in again, the earlier counts come first.

    `interval` (nanoseconds) is the time between its reading and the one told before; 0: not known.
    """

    session: str
    number: int
    counting: str
    endpoints: Sequence[tuple[str, Counted]]
    complete: bool
    interval: int
    condition: Condition


class Came(NamedTuple):
    """What came for one thing."""

    passed: Passed
    refused: Mapping[Cause, int]


@dataclass(slots=True)
class Passing:
    """What came with one round of reports: by endpoint, by service, and in all; `interval` is what it took."""

    endpoints: dict[str, Came] = field(default_factory=dict)
    services: dict[str, Tally] = field(default_factory=dict)
    total: Tally = field(default_factory=Tally)
    interval: int = 0

    def add(self, endpoint: str, passed: Passed, refused: Mapping[Cause, int]) -> None:
        if before := self.endpoints.get(endpoint):
            passed, refused = before.passed + passed, Counter(before.refused) + Counter(refused)
        self.endpoints[endpoint] = Came(passed, refused)

    def add_services(self, changes: Mapping[str, Tally]) -> Tally:
        """Gives the sum of the changes."""
        came = Tally()
        for service, change in changes.items():
            self.services.setdefault(service, Tally()).add(change.passed, change.refused, 0)
            came.add(change.passed, change.refused, 0)
        self.total.add(came.passed, came.refused, 0)
        return came


@dataclass(slots=True)
class GatewayTally:
    """What one gateway has told. It is `learning` until it has told all once: that began before it was counted.

    `fresh` is a membership that has not told all yet; what it does not tell then is no more.
    """

    began_at: int
    session: str = ""
    number: int = 0
    counting: str = ""
    learning: bool = True
    fresh: bool = True
    heard_at: int = 0
    counted: dict[str, Counted] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    passing: Passing = field(default_factory=Passing)
    coming: Passing = field(default_factory=Passing)
    total: Tally = field(default_factory=Tally)
    condition: Condition = Condition()
    refused: dict[str, int] = field(default_factory=dict)

    def is_heard(self, now: int) -> bool:
        return now - self.heard_at <= max(SILENT, SLOW * self.passing.interval)

    def hear(self, condition: Condition) -> None:
        """Of refusals it tells all, those of no endpoint, too."""
        if not self.learning:
            for reason, more in refused_since(self.condition.refused, condition.refused).items():
                word = reason if reason in self.refused or len(self.refused) < MOST_REASONS else OTHER
                self.refused[word] = min(MOST, self.refused.get(word, 0) + more)
        self.condition = condition
        self.total.sessions = condition.sessions
