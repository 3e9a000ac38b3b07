"""How gateways find the backends of services. Pure, and kept in memory: agents report anew.

Addresses and errors are for the service's owner; consumers are told numbers.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum


class Condition(Enum):
    """What a gateway thinks of a backend."""

    WELL = "well"
    UNKNOWN = "unknown"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class BackendHealth:
    """A backend as one gateway finds it. Moments and `median` (of the time that a check takes) are in nanoseconds, 0
    where there is none. `error` is what the last check met with that failed.
    """

    address: str
    condition: Condition
    since: int
    takes_sessions: bool = False
    draining: bool = False
    error: str = ""
    error_at: int = 0
    median: int = 0


Backends = tuple[BackendHealth, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many backends there are, are well, and take new sessions.

    `failing_since` is when the last of those that take them became unhealthy, if all of them are; else 0.
    """

    total: int
    well: int
    taking: int
    failing_since: int = 0

    @classmethod
    def of(cls, backends: Backends) -> "Counts":
        takers = [each for each in backends if each.takes_sessions]
        failing = all(each.condition is Condition.UNHEALTHY for each in takers)
        return cls(
            total=len(backends),
            well=sum(each.condition is Condition.WELL for each in backends),
            taking=len(takers),
            failing_since=max((each.since for each in takers), default=0) if failing else 0,
        )


class HealthReports:
    """The last report of each gateway on each service."""

    def __init__(self) -> None:
        self._by_service: dict[str, dict[str, Backends]] = {}

    def note(self, gateway: str, service: str, backends: Backends) -> None:
        """Takes in what a gateway says; no backends are to say that it knows nothing of them any more."""
        reports = self._by_service.setdefault(service, {})
        if backends:
            reports[gateway] = backends
        else:
            reports.pop(gateway, None)
        if not reports:
            del self._by_service[service]

    def forget_gateway(self, gateway: str) -> None:
        """It begins anew, or is gone: what it said before is void."""
        for service in list(self._by_service):
            self.note(gateway, service, ())

    def of(self, service: str, gateways: Collection[str]) -> Mapping[str, Backends]:
        """What each of these gateways says, in order of their ids."""
        reports = self._by_service.get(service, {})
        return {gateway: reports[gateway] for gateway in sorted(reports) if gateway in gateways}

    def counts(self, service: str, gateways: Collection[str]) -> Counts | None:
        """As that gateway finds them that fares worst; None where none of these gateways asks."""
        found = [Counts.of(backends) for backends in self.of(service, gateways).values()]
        return min(found, key=lambda counts: (counts.well, counts.taking), default=None)
