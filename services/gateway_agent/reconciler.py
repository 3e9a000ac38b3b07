"""The level-triggered loop: whatever happened, make the data plane forward what is desired now, and say so."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Protocol

import structlog

from services.common.clock import Clock as WallClock
from services.common.clock import now as wall_now
from services.common.telemetry.tracing import span
from services.gateway_agent.annexes import Annexes
from services.gateway_agent.dataplane.port import Dataplane, DataplaneError, NotReady
from services.gateway_agent.desired import Desired
from services.gateway_agent.facts import Facts
from services.gateway_agent.fence import Fence
from services.gateway_agent.pace import Pace
from services.gateway_agent.proxies import Proxies
from services.gateway_agent.reporter import Reporter
from services.gateway_agent.retries import Retries
from services.gateway_agent.table import Attachment, Change, ForwardingTable, Key, Kind, Put, Remove
from services.gateway_agent.targets import Annex
from services.gateway_agent.traces import Traces
from services.gateway_agent.tracker import Tracker

LONGEST_REST = 1.0
"""Seconds; the fence's clock also counts those in which the machine slept, unlike that of the event loop."""

BREATH = 256
"""Changes after which others on the event loop have their turn."""

PATIENCE = 10_000
"""Changes after which what was heard meanwhile is looked at first: planning anew is not free."""

log = structlog.get_logger(__name__)


Parting = Callable[[str], Awaitable[Callable[[], None]]]
"""Who is told of endpoints that are about to be taken out; what he answers is called when they are."""


async def unheard(_endpoint: str) -> Callable[[], None]:
    return lambda: None


class Names(Protocol):
    """Who says in DNS what there is."""

    def heard(self, key: Key) -> None:
        """There are news of a key; nothing was changed for them yet."""

    def before(self, change: Change) -> None:
        """Takes back what the change, which is made next, would make untrue."""

    def review(self, keys: Iterable[Key]) -> None:
        """What is said of these may be another now."""

    def tried(self, *, all_of_it: bool) -> None:
        """Whether all that is desired was tried."""


class Reconciler:
    """`position` is the log's up to which all was tried; `repaired` counts entries that an audit found altered."""

    def __init__(
        self,
        dataplane: Dataplane,
        reporter: Reporter,
        *,
        desired: Desired,
        tracker: Tracker,
        facts: Facts,
        fence: Fence,
        pace: Pace,
        traces: Traces | None = None,
        wall_clock: WallClock = wall_now,
        parting: Parting = unheard,
        names: Names | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self._annexes, self._proxies = Annexes(), proxies
        self._unaimed: dict[str, None] = {}
        self._wall_clock, self._parting, self._names = wall_clock, parting, names
        self._desired = desired
        self._tracker = tracker
        self._dataplane = dataplane
        self._fence = fence
        self._facts = facts
        self._reporter = reporter
        self._pace = pace
        self._traces = traces or Traces()
        self._retries = Retries(*pace.retry)
        self._audit_at = 0.0
        self._fenced = False
        self._owed: dict[Key, None] = {}
        self._made: dict[Key, None] = {}
        self._unreviewed: dict[Key, None] = {}
        self._wake = asyncio.Event()
        self.position = 0
        self.repaired = 0

    @property
    def in_sync(self) -> bool:
        """Whether everything that was desired at the last turn is forwarded."""
        return self._desired.synced and not self._fenced and self._tracker.settled and not self._wake.is_set()

    @property
    def tried_all(self) -> bool:
        """Whether everything that was desired at the last turn is forwarded, or was tried in vain: see difficulties."""
        return self._desired.synced and not self._fenced and not self._tracker.ready and not self._wake.is_set()

    def nudge(self) -> None:
        """Something may have changed."""
        self._wake.set()

    async def start(self) -> None:
        """Learns what an earlier agent has left."""
        self._tracker.resync(await self._dataplane.read())
        self._audit_at = self._fence.now() + self._pace.audit

    async def run(self) -> None:
        await self.start()
        while True:
            rest = await self.turn()
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._wake.wait()

    async def watch(self) -> None:
        """Hears the data plane's news."""
        while True:
            await self._dataplane.wait_for_news()
            self.nudge()

    async def turn(self) -> float:
        """Does all that is to be done now; gives the seconds until something may be due."""
        self._wake.clear()
        self._mind_the_fence()
        if not self._desired.synced and self._names is not None:
            self._names.tried(all_of_it=False)
        if not (self._desired.synced or self._fenced):
            return LONGEST_REST  # sweeping now would delete what we have yet to hear of
        if self._fence.now() >= self._audit_at:
            await self._audit()
        position = self._desired.position
        self._desired.end_drains(self._wall_clock())
        self._take_wishes()
        self._tracker.retry(self._retries.due(self._fence.now()))
        self._aim_proxies(needless=True)
        await self._make_changes()
        self._aim_proxies(needless=False)
        self._tell_of_changes()
        await self._review()
        if self._tracker.ready:
            return 0.0
        self.position = position
        self._tell()
        await self._review()
        if self._names is not None:
            self._names.tried(all_of_it=self._desired.synced)
        return self._rest()

    def _mind_the_fence(self) -> None:
        if self._fence.up and (self._desired.synced or not self._fenced):
            log.error("stopping to forward: the control plane has no use for it, or is away for too long")
            self._tracker.aim(ForwardingTable())
            # What was heard is out of date: nothing is forwarded again before a new snapshot is there.
            self._desired.synced = False
        self._fenced = self._fence.up

    def _take_wishes(self) -> None:
        if not self._desired.synced:
            return
        for key in self._desired.take_changed():
            asked = self._desired.resolver(key.id) if key.kind is Kind.RESOLVER else self._desired.wanted(key)
            for each, entry in self._annexes.give(key, asked).items():
                self._tracker.want(each, entry)
            self._owed[key] = None
            if self._names is not None:
                self._names.heard(key)

    def _aim_proxies(self, *, needless: bool) -> None:
        """Those that nobody needs any more before their annexes go, all others when theirs are there, or as good as."""
        self._unaimed.update(dict.fromkeys(self._annexes.take_changed()))
        if self._proxies is not None and self._desired.synced and (self._proxies.begun or not needless):
            told = {vpc: self._annexes.proxied(vpc) for vpc in self._unaimed}
            told = {vpc: proxied for vpc, proxied in told.items() if not (needless and proxied)}
            self._unaimed = {vpc: None for vpc in self._unaimed if vpc not in told}
            if told or not needless:
                self._proxies.aim(told)

    async def _make_changes(self) -> None:
        made = 0
        while self._tracker.ready:
            for change in self._tracker.pending():
                await self._make(change)
                made += 1
                if made % BREATH == 0:
                    self._tell_of_changes()
                    await self._review()
                    await asyncio.sleep(0)
                if made >= PATIENCE and self._wake.is_set():
                    return

    async def _make(self, change: Change) -> None:
        if self._names is not None:
            self._names.before(change)
        going = isinstance(change, Remove) and change.key.kind is Kind.ENDPOINT
        gone = await self._parting(change.key.id) if going else None
        try:
            await self._dataplane.apply(change)
        except DataplaneError as error:
            self._fail(change, error)
            return
        if gone is not None:
            gone()
        self._tracker.applied(change)
        self._trace(change)
        self._made[change.key] = None
        self._look_at_annex(change)
        if self._retries.succeeded(change.key):
            self._made.update(dict.fromkeys(self._depending(change.key)))

    def _look_at_annex(self, change: Change) -> None:
        match change:
            case Put(Attachment(target=Annex(vpc=vpc))) if self._proxies is not None:
                self._proxies.look_again(vpc)

    def _trace(self, change: Change) -> None:
        """Says of what somebody asked for that it is done; a snapshot's thousands of entries are not worth a line."""
        key = change.key
        if traceparent := self._traces.of(key):
            with span(f"{type(change).__name__} {key.kind}", traceparent):
                verb = "not forwarding any more" if isinstance(change, Remove) else "forwarding"
                log.info(verb, kind=key.kind, id=key.id, position=self._desired.position)

    def _fail(self, change: Change, error: DataplaneError) -> None:
        key = change.key
        self._tracker.failed(change, str(error))
        if self._retries.failed(key, self._fence.now()):  # said once, not at every attempt
            say = log.warning if isinstance(error, NotReady) else log.error
            say("cannot forward yet, trying again", kind=key.kind, id=key.id, why=str(error))
            self._note([*self._depending(key)])

    def _note(self, keys: Collection[Key]) -> None:
        """What is true of these may be another now."""
        self._reporter.note(keys)
        self._unreviewed.update(dict.fromkeys(keys))

    async def _review(self) -> None:
        """Looks at what is said of names that may be untrue now, or true; others have their turn meanwhile."""
        while self._unreviewed:
            some = tuple(islice(self._unreviewed, BREATH))
            for key in some:
                del self._unreviewed[key]
            if self._names is not None:
                self._names.review(some)
            if self._unreviewed:
                await asyncio.sleep(0)

    def _depending(self, key: Key) -> Iterator[Key]:
        """The keys of which facts may be others when this one's entry is."""
        yield key
        yield from self._desired.users(key)
        yield from self._annexes.owners(key)

    def count(self) -> Mapping[Kind, int]:
        """How many entries of each kind are forwarded, but for those that are there only for others."""
        mine = self._tracker.count()
        return Counter(mine) - Counter(key.kind for key in self._annexes.added() if self._tracker.holds(key))

    def _tell_of_changes(self) -> None:
        """Not before it is known what hinders them: a service whose backends are silent is made, too."""
        self._face_difficulties()
        made, self._made = self._made, {}
        self._note([each for key in made for each in (key, *self._annexes.owners(key))])

    def _tell(self) -> None:
        """A newer generation of what is forwarded already is a fact too, though nothing was made of it."""
        owed, self._owed = self._owed, {}
        self._note(owed)
        self._reporter.passed(self.position)

    def _face_difficulties(self) -> None:
        """An attachment in difficulty has lost its device, an endpoint lacks a route in a namespace: both are put again
        until that is there."""
        if news := self._dataplane.take_health_news():
            for service in news:
                self._facts.learn(service, self._dataplane.health(service))
            self._reporter.note_health(news)
            for service in news:
                self._unreviewed.update(dict.fromkeys(self._desired.users(Key(Kind.SERVICE, service))))
        difficulties = dict(self._dataplane.difficulties())
        if self._proxies is not None:
            difficulties.update(self._proxies.difficulties())
            self._note(self._proxies.take_news())
        for key in self._facts.face(difficulties):
            self._note([*self._depending(key)])
        for key in difficulties:
            if key.kind in (Kind.ATTACHMENT, Kind.ENDPOINT) and key not in self._retries:
                self._retries.failed(key, self._fence.now())

    async def _audit(self) -> None:
        """Compares with the kernel itself."""
        surprising = self._tracker.resync(await self._dataplane.read())
        self._audit_at = self._fence.now() + self._pace.audit
        if surprising:
            self.repaired += len(surprising)
            log.error("the kernel's table was altered, repairing it", entries=len(surprising))

    def _rest(self) -> float:
        now = self._fence.now()
        due = min(LONGEST_REST, self._audit_at - now, self._retries.wait(now))
        return max(0.0, due if self._fence.up else min(due, self._fence.remaining))
