"""Reads what has passed for endpoints, at a pace that costs little, and draws what follows for source addresses."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from services.gateway_agent.annex_traffic import Beside, is_beside
from services.gateway_agent.dataplane.port import Dataplane, DataplaneError
from services.gateway_agent.pace import Pace
from services.gateway_agent.sources import NO_SOURCE_PORT, Ground, Idle, Needs, per_source
from services.gateway_agent.sums import Parted, Sums
from services.gateway_agent.table import Endpoint, ForwardingTable, Key, Kind, Service
from services.gateway_agent.tracker import Tracker
from services.gateway_agent.traffic import Traffic

SHARE = 20
"""Between two readings is at least so many times what one took: 100,000 endpoints cost no more than a twentieth."""

PRESSED = 4
"""So many times where it presses: a fifth."""

MANY = 16_384
"""New sessions after which one looks sooner: half of what makes one source address too few."""

log = structlog.get_logger(__name__)

REFUSED, OPENED = f"refused_{NO_SOURCE_PORT}", "session_new"


@dataclass(frozen=True, slots=True)
class Reading:
    """What had passed at one moment: by endpoint and by service, beside what it is judged by.

    `short` is how many endpoints need more source addresses than they have.
    """

    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    services: Mapping[str, Traffic] = field(default_factory=dict)
    ground: Ground = field(default_factory=Ground)
    short: int = 0


class Meter:
    """One reading at a time, so that none is taken in after a later one. `changed` hears whose need is another."""

    def __init__(
        self,
        dataplane: Dataplane,
        tracker: Tracker,
        needs: Needs,
        *,
        idle: Callable[[], Idle],
        changed: Callable[[list[Key]], None],
        pace: Pace,
    ) -> None:
        self._dataplane = dataplane
        self._tracker = tracker
        self._needs = needs
        self._idle = idle
        self._changed = changed
        self._pace = pace
        self._sums = Sums()
        self._ground, self._as_of = Ground(), -1
        self._services: Mapping[str, Service] = {}
        self._beside = Beside()
        self.cost = 0.0  # seconds that the last reading took
        self.parted: Callable[[str, Traffic | None], None] = _nobody  # hears who was taken out, and what it had passed
        self._inherited: frozenset[str] = frozenset()
        self._parted: list[Parted] = []
        self._reading = asyncio.Lock()
        self._counters: Mapping[str, int] = {}
        self._may = self._due = 0.0
        self._failing = False

    async def run(self) -> None:
        """Looks at counters that cost nothing, and at all endpoints when these say so, or from time to time."""
        while True:
            await asyncio.sleep(self._pace.look)
            try:
                now = time.monotonic()
                if now >= self._due or (now >= self._may and await self._pressing()):
                    await self.read()
                self._failing = False
            except (DataplaneError, OSError) as error:  # forwarding goes on without being counted
                if not self._failing:  # said once, not at every attempt
                    log.error("what has passed cannot be read, trying again", why=str(error))
                self._failing = True

    async def parting(self, endpoint: str) -> Callable[[], None]:
        """It is about to be taken out; to be called when it is: what it has passed stays in the sum of its service."""
        entry, passed = self._tracker.entry(Key(Kind.ENDPOINT, endpoint)), None
        with suppress(DataplaneError):  # nothing must keep it from being taken out
            passed = await self._dataplane.traffic_of(endpoint)
        if not isinstance(entry, Endpoint):
            return lambda: None
        if is_beside(entry, self._tracker.entry(Key(Kind.SERVICE, entry.service))):
            return lambda: None
        return partial(self._part, entry, passed)

    def _part(self, endpoint: Endpoint, passed: Traffic | None) -> None:
        if passed is not None:
            self._parted.append((endpoint, passed))
        self.parted(endpoint.id, passed)

    async def read(self) -> Reading:
        """How it is now."""
        async with self._reading:
            began = time.monotonic()
            parted, self._parted = self._parted, []  # before the kernel is read: who goes then is among the next
            try:
                counters, traffic = await self._dataplane.counters(), await self._dataplane.traffic()
            except BaseException:
                self._parted = parted + self._parted
                raise
            self._counters, ground = counters, await self._found()
            reading, changed = await asyncio.to_thread(self._judge, traffic, ground, parted, began)
            ended = time.monotonic()
            took = self.cost = ended - began
            self._may, self._due = ended + PRESSED * took, ended + max(self._pace.collect, SHARE * took)
        if changed:
            self._changed([Key(Kind.ENDPOINT, id_) for id_ in changed])
        return reading

    async def _found(self) -> Ground:
        """Made anew when the table has changed; of its services some backends may be idle now, or no longer."""
        if self._as_of != self._tracker.changes:
            as_of, table, found = self._tracker.changes, self._tracker.table(), self._tracker.found
            self._ground, self._services, self._inherited = await asyncio.to_thread(_indexed, table, found)
            self._beside = await asyncio.to_thread(Beside.of, table)
            self._as_of = as_of
        if not (idle := self._idle()):
            return self._ground
        known = {id_: per_source(self._services[id_], those) for id_, those in idle.items() if id_ in self._services}
        return replace(self._ground, holds={**self._ground.holds, **known})

    def _judge(
        self, traffic: Mapping[str, Traffic], ground: Ground, parted: Sequence[Parted], now: float
    ) -> tuple[Reading, frozenset[str]]:
        """On a thread of its own: there may be many."""
        traffic = self._beside.own(traffic)
        changed = self._needs.look(traffic, ground, now)
        sums = self._sums.look(traffic, ground, self._inherited, parted)
        return Reading(traffic, sums, ground, self._needs.number()), changed

    async def _pressing(self) -> bool:
        """Whether source ports are refused, or may be soon."""
        before, now = self._counters, await self._dataplane.counters()
        opened = now.get(OPENED, 0) - before.get(OPENED, 0)
        return opened >= MANY or now.get(REFUSED, 0) > before.get(REFUSED, 0)


def _nobody(_endpoint: str, _passed: Traffic | None) -> None:
    """Hears of it."""


def _indexed(table: ForwardingTable, found: Collection[Key]) -> tuple[Ground, Mapping[str, Service], frozenset[str]]:
    services = {entry.id: entry for entry in table.entries.values() if isinstance(entry, Service)}
    return Ground.of(table), services, frozenset(key.id for key in found if key.kind is Kind.ENDPOINT)
