"""Tells the control plane what is forwarded and what is not: at once, only what changed, until it is answered."""

import asyncio
from collections.abc import Collection, Iterable
from contextlib import suppress

import structlog

from services.common.telemetry.tracing import span
from services.gateway_agent.backend_health import ServiceHealth
from services.gateway_agent.control_plane import ControlPlane, Membership
from services.gateway_agent.desired import Desired
from services.gateway_agent.facts import Fact, Facts, Presence
from services.gateway_agent.pace import Pace
from services.gateway_agent.table import Key, Kind
from services.gateway_agent.traces import Traces
from sidegate.errors import SidegateError

MOST_AT_ONCE = 5000
MOST_SERVICES_AT_ONCE = 200
RENEWALS_PER_LEASE = 3
SHORTEST_REST = 0.1
"""Seconds between renewals, whatever the lease."""

log = structlog.get_logger(__name__)


class Reporter:
    """Facts are looked up when they are sent, so that what is sent is never older than what is known."""

    def __init__(
        self, control: ControlPlane, desired: Desired, facts: Facts, pace: Pace, traces: Traces | None = None
    ) -> None:
        self._traces = traces or Traces()
        self._control = control
        self._desired = desired
        self._facts = facts
        self._pace = pace
        self._membership: Membership | None = None
        self._said: dict[Key, Fact] = {}
        self._unsaid: dict[Key, None] = {}
        self._undecided: dict[Key, None] = {}
        self._unsaid_health: dict[str, None] = {}
        self._said_health: set[str] = set()
        self._position = 0
        self._wake = asyncio.Event()

    def note(self, keys: Iterable[Key]) -> None:
        """The facts about these may be others now."""
        self._unsaid.update(dict.fromkeys(key for key in keys if key.kind is Kind.ENDPOINT))
        self._wake.set()

    def note_health(self, services: Iterable[str]) -> None:
        """The health of these services' backends may be another now."""
        self._unsaid_health.update(dict.fromkeys(services))
        self._wake.set()

    def passed(self, position: int) -> None:
        """All that was desired at the position has been tried."""
        self._position = position
        if self._undecided:
            self.note(self._undecided)
            self._undecided = {}

    async def run(self) -> None:
        """Reports until cancelled, and renews the lease when there is nothing to say."""
        failures = 0
        while True:
            membership = await self._control.membership()
            try:
                await self._report(membership)
                failures = 0
                await self._until_due(max(SHORTEST_REST, membership.lease / RENEWALS_PER_LEASE))
            except SidegateError as error:
                if failures == 0:  # said once, not at every attempt
                    log.warning("cannot report, trying again", why=str(error))
                failures += 1
                floor, cap = self._pace.reconnect
                await asyncio.sleep(min(cap, floor * 2 ** min(failures, 16)))

    async def _until_due(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _report(self, membership: Membership) -> None:
        """Says everything unsaid, in as many calls as it takes, but at least one."""
        self._wake.clear()
        if membership is not self._membership:
            self._membership, self._said, self._said_health = membership, {}, set()
            self.note(self._desired.endpoints())
            self.note_health(self._facts.checked())
        while True:
            if not await self._send(membership, self._gather(), self._gather_health()):
                await self._control.join_again(membership)
                self._wake.set()
                return
            if not ((self._unsaid or self._unsaid_health) and self._desired.synced):
                return

    async def _send(self, membership: Membership, facts: dict[Key, Fact], health: dict[str, ServiceHealth]) -> bool:
        answered = False
        try:
            answered = await self._tell(membership, facts, health.values())
        finally:
            if not answered:
                self._unsaid.update(dict.fromkeys(facts))
                self._unsaid_health.update(dict.fromkeys(health))
        if answered:
            self._said_health |= {service for service, each in health.items() if each.backends}
            self._said_health -= {service for service, each in health.items() if not each.backends}
        for key, fact in facts.items() if answered else ():
            self._remember(key, fact)
        return answered

    async def _tell(self, membership: Membership, facts: dict[Key, Fact], health: Collection[ServiceHealth]) -> bool:
        """A report that is about one trace is a step of it; one about several names them."""
        traces = self._traces.among(facts)
        if not traces:
            return await self._control.report(membership, self._position, facts.values(), health)
        one = traces[0] if len(traces) == 1 else ""
        with span("report", one, links=() if one else traces):
            answered = await self._control.report(membership, self._position, facts.values(), health)
            log.info("reported", endpoints=len(facts), position=self._position, joined=answered)
            return answered

    def _remember(self, key: Key, fact: Fact) -> None:
        if fact.presence is Presence.ABSENT:
            self._said.pop(key, None)  # it will hardly be said again, and endpoints come and go for ever
        else:
            self._said[key] = fact

    def _gather_health(self) -> dict[str, ServiceHealth]:
        """The health of up to MOST_SERVICES_AT_ONCE of the services whose is unsaid."""
        found: dict[str, ServiceHealth] = {}
        number = len(self._unsaid_health) if self._desired.synced else 0
        for _ in range(min(MOST_SERVICES_AT_ONCE, number)):
            service, _ = self._unsaid_health.popitem()
            health = self._facts.health(service)
            if health.backends or service in self._said_health:  # else nobody has it to forget
                found[service] = health
        return found

    def _gather(self) -> dict[Key, Fact]:
        """Looks at up to MOST_AT_ONCE of the unsaid facts, leaving out what was said before."""
        facts: dict[Key, Fact] = {}
        for _ in range(min(MOST_AT_ONCE, len(self._unsaid)) if self._desired.synced else 0):
            key, _ = self._unsaid.popitem()
            if self._desired.known(key) is None:
                self._said.pop(key, None)
            elif (fact := self._facts.of(key)) is None:
                self._undecided[key] = None
            elif fact != self._said.get(key):
                facts[key] = fact
        return facts
