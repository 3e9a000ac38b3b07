"""What this gateway can truthfully say of an endpoint. Pure.

The endpoint's owner reads it: no word of it may come from the network on the other side.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.gateway_agent.annexes import NOTHING, Expanded, expanded
from services.gateway_agent.backend_health import ServiceHealth
from services.gateway_agent.desired import Desired, Withheld
from services.gateway_agent.proxies import NoProxies, Proxying
from services.gateway_agent.sources import Needs, sources_of
from services.gateway_agent.table import Address, Endpoint, Entry, Key, Kind, Service
from services.gateway_agent.tracker import Tracker

ENDPOINT_NOT_MADE = "a gateway cannot set it up yet"
VPC_NOT_REACHED = "its VPC cannot be reached from a gateway"
SERVICE_NOT_KNOWN = "a gateway has not heard of the service yet"
SERVICE_DRAINING = "the service takes no new connections at present"
SERVICE_NOT_ANSWERING = "backends of the service do not answer a gateway"
SERVICE_NOT_REACHED = "backends of the service cannot be reached from a gateway"


class Presence(StrEnum):
    """What a gateway can have of an endpoint."""

    FORWARDING = "forwarding"
    ABSENT = "absent"
    HINDERED = "hindered"


@dataclass(frozen=True, slots=True)
class Fact:
    """What this gateway has of an endpoint at a generation of it; `reason` is what hinders.

    `sources_wanted` is how many source addresses its sessions need, where it has fewer.
    """

    endpoint: str
    generation: int
    presence: Presence
    reason: str = ""
    sources_wanted: int = 0


@dataclass(frozen=True, slots=True)
class _Part:
    """Something that an endpoint's packets depend on, and how to say that it is not there or fails."""

    key: Key
    missing: str
    failing: str


class Facts:
    """Facts from what should be, what is, and what hinders what is."""

    def __init__(
        self, desired: Desired, tracker: Tracker, needs: Needs | None = None, proxying: Proxying | None = None
    ) -> None:
        self._proxying = proxying or NoProxies()
        self._desired = desired
        self._tracker = tracker
        self._needs = needs or Needs()
        self._difficulties: Mapping[Key, str] = {}
        self._hindering: Mapping[Key, str] = {}
        self._health: dict[str, ServiceHealth] = {}

    def face(self, difficulties: Mapping[Key, str]) -> frozenset[Key]:
        """Takes in what hinders the data plane; gives the keys of which that is news for endpoints.

        That no backend of a service is well is none: `health` says it, once for all of them.
        """
        self._difficulties = dict(difficulties)
        before, after = self._hindering, {key: each for key, each in difficulties.items() if not self._goes_on(key)}
        self._hindering = after
        return frozenset(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))

    def learn(self, service: str, health: ServiceHealth | None) -> None:
        """Takes in how a service's backends are; None where nobody asks them."""
        self._health.pop(service, None)
        if health is not None:
            self._health[service] = health

    def idle(self) -> Mapping[str, frozenset[Address]]:
        """By service that asks for health checks, backends that take no new sessions."""
        return {
            service: frozenset(each.address for each in health.backends if not each.takes_sessions)
            for service, health in self._health.items()
        }

    def health(self, service: str) -> ServiceHealth:
        """How its backends are; of one that asks for no health checks, or is not there, nothing is known."""
        return self._health.get(service, ServiceHealth(service))

    def checked(self) -> Collection[str]:
        """The services of whose backends something is known."""
        return self._health.keys()

    def of(self, endpoint: Key) -> Fact | None:
        """The fact about an endpoint; None while a change is being made, or if it was never heard of."""
        known = self._desired.known(endpoint)
        if known is None:
            return None
        if self._desired.is_removed(endpoint):
            held = self._tracker.holds(endpoint)
            return None if held else Fact(endpoint.id, known.version, Presence.ABSENT)
        if reason := self._hindrance(endpoint):
            return Fact(endpoint.id, known.version, Presence.HINDERED, reason)
        if not self._is_made(endpoint):
            return None
        wants = self._wants(known.content)
        return Fact(endpoint.id, known.version, Presence.FORWARDING, sources_wanted=wants)

    def _is_made(self, endpoint: Key) -> bool:
        """Whether all that it takes is there as it should be, in the kernel and beside it."""
        made, annex = self._expanded(endpoint), self._expanded(endpoint).annex()
        wanted = [self._desired.wanted(part.key) for part in self._parts(endpoint) if part.key != endpoint]
        entries = [*wanted, *made.entries, *((annex,) if annex else ())]
        if not made.entries or not all(entry is not None and self._tracker.has(entry) for entry in entries):
            return False
        return made.proxied is None or self._proxying.has(made.proxied)

    def _expanded(self, endpoint: Key) -> Expanded:
        """The endpoint with all that is in the table for it alone, as it should be now."""
        entry = self._desired.wanted(endpoint)
        if not isinstance(entry, Endpoint):
            return NOTHING
        service = self._desired.wanted(Key(Kind.SERVICE, entry.service))
        return expanded(entry, service if isinstance(service, Service) else None)

    def _wants(self, content: object) -> int:
        """What was needed at the last look may be there by now."""
        needs = self._needs.of(content.id) if isinstance(content, Endpoint) else 0
        return needs if isinstance(content, Endpoint) and needs > sources_of(content) else 0

    def difficulty(self, key: Key) -> str:
        """What hinders an entry, in the data plane's own words: for the operator."""
        return self._difficulties.get(key) or self._tracker.reason(key) or ""

    def _hindrance(self, endpoint: Key) -> str | None:
        known = self._desired.known(endpoint)
        if known is not None and isinstance(known.content, Withheld):
            return known.content.reason
        for part in self._parts(endpoint):
            if self._desired.wanted(part.key) is None:
                return part.missing
            if self.difficulty(part.key) and not self._goes_on(part.key):
                return part.failing
        return self._annex_hindrance(endpoint)

    def _annex_hindrance(self, endpoint: Key) -> str | None:
        """What hinders its ports that tell of clients; the others pass packets meanwhile."""
        made = self._expanded(endpoint)
        if made.proxied is None:
            return None
        if hindrance := self._proxying.hindrance(made.vpc):
            return hindrance.owner
        annex = made.annex()
        keys = [entry.key for entry in (*made.entries, *((annex,) if annex else ()))]
        return ENDPOINT_NOT_MADE if any(map(self.difficulty, keys)) else None

    def _goes_on(self, key: Key) -> bool:
        """Whether packets pass in spite of what the data plane says: no backend is well, and so all take sessions."""
        return self._tracker.reason(key) is None and self.health(key.id).none_is_well

    def unmade(self) -> list[Entry]:
        """What should be forwarded, and of which the data plane has nothing because it failed."""
        wanted = (self._tracker.wanted(key) for key in self._tracker.failures() if not self._tracker.holds(key))
        return [entry for entry in wanted if entry is not None]

    def is_hindered(self, key: Key) -> bool:
        """Whether the data plane has the entry and says that packets do not pass."""
        return key in self._difficulties

    def hindered(self) -> Mapping[Kind, int]:
        """How many entries of each kind the data plane says that packets do not pass, or could not make."""
        return Counter(key.kind for key in {*self._difficulties, *self._tracker.failures()})

    def _parts(self, endpoint: Key) -> Iterator[_Part]:
        """All that the endpoint's packets depend on, what others depend on first."""
        entry = self._entry(endpoint)
        if not isinstance(entry, Endpoint):
            return
        yield _Part(Key(Kind.ATTACHMENT, entry.vpc), VPC_NOT_REACHED, VPC_NOT_REACHED)
        key = Key(Kind.SERVICE, entry.service)
        failing = SERVICE_NOT_ANSWERING
        if isinstance(service := self._entry(key), Service):
            yield _Part(Key(Kind.ATTACHMENT, service.vpc), SERVICE_NOT_REACHED, SERVICE_NOT_REACHED)
            if service.backends and all(backend.draining for backend in service.backends):
                failing = SERVICE_DRAINING
        yield _Part(key, SERVICE_NOT_KNOWN, failing)
        yield _Part(endpoint, ENDPOINT_NOT_MADE, ENDPOINT_NOT_MADE)

    def _entry(self, key: Key) -> object:
        known = self._desired.known(key)
        return None if known is None else known.content
