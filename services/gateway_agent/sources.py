"""How many sessions the source addresses of an endpoint hold, and how many addresses its sessions need. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Self

from services.gateway_agent.table import Address, Endpoint, ForwardingTable, Service
from services.gateway_agent.traffic import Traffic

SESSIONS_PER_SOURCE = 64_512
"""Source ports 1024 to 65535: as many sessions of one source address with one port of a backend."""

NEAR = 0.5
"""The share of what sources hold from which on more are needed: a free port is found by trying a few."""

KEPT_SECONDS = 60.0
"""A need is remembered for so long after it was last seen, so that it is not told anew with every session."""

NO_SOURCE_PORT = "no_source_port"
Idle = Mapping[str, Collection[Address]]
"""By service, backends that take no new sessions at present, as far as that is known."""

_FEW = int(SESSIONS_PER_SOURCE * NEAR)


@dataclass(frozen=True, slots=True)
class Ground:
    """What traffic is judged by: the endpoints of a table by id, and by service what one source address holds."""

    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    holds: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, table: ForwardingTable) -> Self:
        entries = table.entries.values()
        services = [entry for entry in entries if isinstance(entry, Service) and not entry.keeps_source]
        known = {service.id for service in services}
        endpoints = {each.id: each for each in entries if isinstance(each, Endpoint) and _is_asked_for(each, known)}
        return cls(endpoints, {service.id: per_source(service) for service in services})

    def one_holds(self, endpoint: Endpoint) -> int:
        """How many sessions one of the endpoint's source addresses holds."""
        return self.holds.get(endpoint.service, SESSIONS_PER_SOURCE)

    def all_hold(self, endpoint: Endpoint) -> int:
        return sources_of(endpoint) * self.one_holds(endpoint)


@dataclass(frozen=True, slots=True)
class Need:
    """As many addresses in all, as of a moment (seconds)."""

    sources: int
    seen: float


def _is_asked_for(endpoint: Endpoint, services: Collection[str]) -> bool:
    """Not one that an annex has: those count as whom they are for."""
    return endpoint.service in services and endpoint.service != endpoint.proxy


def per_source(service: Service, idle: Collection[Address] = ()) -> int:
    """How many sessions one source address holds where backends get their shares: when the heaviest is full.

    Those that drain get none, nor those that are known to be `idle`.
    """
    weights = [backend.weight for backend in service.backends if not (backend.draining or backend.address in idle)]
    return SESSIONS_PER_SOURCE * sum(weights) // max(weights) if weights else SESSIONS_PER_SOURCE


def sources_of(endpoint: Endpoint) -> int:
    return 1 + len(endpoint.more_sources)


def needed(sessions: int, sources: int, each: int, *, starved: bool) -> int:
    """How many addresses there should be: `sources` of them, twice as many, four times; `each` holds so many sessions.

    Starved is an endpoint that was refused a source port meanwhile: it needs more, however few its sessions are.
    """
    number = sources * 2 if starved else sources
    while sessions > number * each * NEAR:
        number *= 2
    return number


class Needs:
    """What endpoints need of which there is too little, from one look at their traffic to the next."""

    def __init__(self) -> None:
        self._needs: dict[str, Need] = {}
        self._starved: dict[str, int] = {}

    def look(self, traffic: Mapping[str, Traffic], ground: Ground, now: float) -> frozenset[str]:
        """Judges anew; gives the endpoints that need another number than before. `now` is in seconds."""
        before, self._needs = self._needs, {}
        refused, self._starved = self._starved, {}
        for id_, passed in traffic.items():
            if number := passed.refused.get(NO_SOURCE_PORT, 0):
                self._starved[id_] = number
            starved = number > refused.get(id_, 0)
            if not (starved or passed.sessions > _FEW or id_ in before):
                continue  # nearly all of them
            if need := _judge(passed.sessions, ground.endpoints.get(id_), ground, starved=starved):
                self._needs[id_] = Need(need, now)
            elif (old := before.get(id_)) and now - old.seen < KEPT_SECONDS:
                self._needs[id_] = old
        return frozenset(id_ for id_ in before.keys() | self._needs.keys() if self._number(before, id_) != self.of(id_))

    def of(self, endpoint: str) -> int:
        """As many addresses as the endpoint was last seen to need; 0: those that it had were enough."""
        return self._number(self._needs, endpoint)

    def number(self) -> int:
        """How many endpoints need more."""
        return len(self._needs)

    @staticmethod
    def _number(needs: Mapping[str, Need], endpoint: str) -> int:
        return needs[endpoint].sources if endpoint in needs else 0


def _judge(sessions: int, endpoint: Endpoint | None, ground: Ground, *, starved: bool) -> int:
    """As many as it needs, if that is more than it has; otherwise 0."""
    if endpoint is None:
        return 0
    has = sources_of(endpoint)
    number = needed(sessions, has, ground.one_holds(endpoint), starved=starved)
    return number if number > has else 0
