"""Names in DNS: they come when packets pass, and go before anything that passes them does."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway_agent.annexes import inner_id
from services.gateway_agent.control_plane import ControlPlane
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.desired import REMOVED, Content, Desired, Versioned
from services.gateway_agent.facts import Facts
from services.gateway_agent.fence import Fence
from services.gateway_agent.pace import Pace
from services.gateway_agent.reconciler import Reconciler
from services.gateway_agent.reporter import Reporter
from services.gateway_agent.resolving.book import Book
from services.gateway_agent.resolving.publication import Publication
from services.gateway_agent.table import (
    Backend,
    Change,
    ClientIdentity,
    Endpoint,
    Entry,
    ForwardingTable,
    Key,
    Kind,
    Remove,
    Resolver,
)
from services.gateway_agent.tracker import Tracker
from sidegate.access import Untold
from sidegate.transport import Caller
from tests.support.tables import attachment, endpoint, service
from tests.unit.test_reconciler import Clock, Switch

SHOP, PAYMENTS = attachment("vpc-1", "blue"), attachment("vpc-2", "green")
WEB = service("service-1", "vpc-2")
CLIENT, OTHER = endpoint(1, "vpc-1", "service-1"), endpoint(2, "vpc-1", "service-1")
ALL = (SHOP, PAYMENTS, WEB, CLIENT, OTHER)
NOBODY = (IPv4Network("255.255.255.255/32"),)
RESOLVER = Resolver("vpc-1", ip_address("10.0.0.53"), (), "region-1.sidegate.internal")


def name(entry: Entry) -> str:
    return f"{entry.key.id}.region-1.sidegate.internal"


def told(content: Content, key: Key, version: int, *more: str) -> Versioned:
    names = (f"{key.id}.region-1.sidegate.internal", *more) if key.kind is Kind.ENDPOINT else ()
    return Versioned(key, version, content, names=names)


@dataclass
class Watched(Switch):
    """Looks at every change which names are answered when it is made, before and after."""

    book: Book = field(default_factory=Book)
    seen: list[tuple[Change, frozenset[str]]] = field(default_factory=list)

    async def apply(self, change: Change) -> None:
        answered = self.answered()
        self.seen.append((change, answered))
        self.check(answered)
        await super().apply(change)
        self.check(self.answered())

    def answered(self) -> frozenset[str]:
        return frozenset(name for name in map(name, (CLIENT, OTHER)) if self.book.names("vpc-1").addresses(name))

    def check(self, answered: frozenset[str]) -> None:
        """Whenever a name is answered, its endpoint is there, with all that it needs, and takes sessions."""
        for each in (CLIENT, OTHER):
            if name(each) not in answered:
                continue
            there = self.entries.get(each.key)
            assert isinstance(there, Endpoint), f"{each.id} is answered and not there"
            assert not there.draining_until
            assert there.allowed != NOBODY
            assert {need for need in there.needs if need not in self.entries} == set()


@dataclass
class Answering:
    """Remembers which resolvers are wanted."""

    wanted: dict[str, Resolver | None] = field(default_factory=dict)

    def want(self, vpc: str, resolver: Resolver | None) -> None:
        self.wanted[vpc] = resolver

    def nudge(self) -> None: ...


@dataclass
class Bench:
    clock: Clock
    switch: Watched
    desired: Desired
    reconciler: Reconciler
    book: Book
    answering: Answering

    async def settle(self) -> frozenset[str]:
        while await self.reconciler.turn() == 0.0:
            pass
        return self.switch.answered()

    def sync(self, entries: Iterable[Entry], version: int = 1) -> None:
        self.desired.replace([told(entry, entry.key, version) for entry in entries], position=1)


@asynccontextmanager
async def bench(*actual: Entry) -> AsyncIterator[Bench]:
    book, clock, pace = Book(), Clock(), Pace()
    switch = Watched(dict(ForwardingTable.of(actual).entries), book=book)
    desired, tracker, fence = Desired(), Tracker(), Fence(clock, pace.fence_after)
    facts, caller = Facts(desired, tracker), Caller("unix:/nowhere", Untold())
    reporter = Reporter(ControlPlane("gw-1", "c1", caller, fence), desired, facts, pace)
    answering = Answering()
    names = Publication(desired, tracker, facts, book, answering)
    reconciler = Reconciler(
        switch, reporter, desired=desired, tracker=tracker, facts=facts, fence=fence, pace=pace, names=names
    )
    try:
        await reconciler.start()
        yield Bench(clock, switch, desired, reconciler, book, answering)
    finally:
        await caller.close()


BOTH = frozenset({name(CLIENT), name(OTHER)})


async def test_names_come_with_their_endpoints_and_not_before_all_was_tried() -> None:
    async with bench() as at:
        await at.reconciler.turn()
        assert [at.book.settled] == [False]
        at.sync(ALL)
        assert await at.settle() == BOTH
        assert at.book.settled
        assert {answered for _, answered in at.switch.seen} == {frozenset()}, "not even one change before"


async def test_after_a_restart_nothing_is_said_before_it_is_in_sync_and_then_all_at_once() -> None:
    async with bench(*ALL) as at:
        at.desired.hear(told(CLIENT, CLIENT.key, 1))
        await at.reconciler.turn()
        assert at.switch.answered() == frozenset()
        assert not at.book.settled
        at.sync(ALL)
        assert await at.settle() == BOTH
        assert at.switch.changes == [], "it was all there"


async def test_a_name_goes_before_its_endpoint_and_the_others_stay() -> None:
    async with bench() as at:
        at.sync(ALL)
        await at.settle()
        at.switch.seen.clear()
        at.desired.hear(told(REMOVED, CLIENT.key, 2))
        assert await at.settle() == {name(OTHER)}
        ((change, answered),) = at.switch.seen
        assert (change.key, answered) == (CLIENT.key, frozenset({name(OTHER)}))
        assert not at.book.names("vpc-1").has(name(CLIENT)), "nothing of it is kept"


@pytest.mark.parametrize(
    "other", [replace(CLIENT, draining_until=1 << 62), replace(CLIENT, allowed=NOBODY)], ids=["drains", "nobody"]
)
async def test_a_name_goes_before_its_endpoint_lets_nobody_in_any_more(other: Endpoint) -> None:
    async with bench() as at:
        at.sync(ALL)
        await at.settle()
        at.switch.seen.clear()
        at.desired.hear(told(other, CLIENT.key, 2))
        assert await at.settle() == {name(OTHER)}
        assert [answered for _, answered in at.switch.seen] == [frozenset({name(OTHER)})]
        at.desired.hear(told(CLIENT, CLIENT.key, 3))
        assert await at.settle() == BOTH


async def test_names_go_before_a_service_takes_no_sessions_and_come_back_with_it() -> None:
    async with bench() as at:
        at.sync(ALL)
        await at.settle()
        at.switch.seen.clear()
        idle = replace(WEB, backends=tuple(replace(backend, draining=True) for backend in WEB.backends))
        at.switch.reasons = {WEB.key: "all of its backends are draining"}
        at.desired.hear(told(idle, WEB.key, 2))
        assert await at.settle() == frozenset()
        assert [answered for _, answered in at.switch.seen] == [frozenset()]
        at.switch.reasons = {}
        at.desired.hear(told(WEB, WEB.key, 3))
        assert await at.settle() == BOTH


async def test_other_backends_take_no_name_away() -> None:
    async with bench() as at:
        at.sync(ALL)
        await at.settle()
        at.switch.seen.clear()
        at.desired.hear(told(replace(WEB, backends=(Backend(ip_address("10.0.0.77")),)), WEB.key, 2))
        assert await at.settle() == BOTH
        assert [answered for _, answered in at.switch.seen] == [BOTH]


async def test_what_hinders_packets_takes_names_away_until_it_is_over() -> None:
    async with bench() as at:
        at.switch.reasons = {WEB.key: "backend 10.0.0.9 does not answer"}
        at.sync(ALL)
        assert await at.settle() == frozenset()
        at.switch.reasons = {}
        assert await at.settle() == BOTH
        at.switch.reasons = {SHOP.key: "its device is gone"}
        assert await at.settle() == frozenset()
        assert at.book.names("vpc-1").has(name(CLIENT)), "it is known whose name it is"


async def test_what_cannot_be_made_has_no_name_until_it_can() -> None:
    async with bench() as at:
        at.switch.refusals = {CLIENT.key: NotReady("the map is full")}
        at.sync(ALL)
        assert await at.settle() == {name(OTHER)}
        at.switch.refusals = {}
        at.clock.seconds += 60.0
        assert await at.settle() == BOTH


async def test_names_change_without_a_change_of_the_kernels() -> None:
    async with bench() as at:
        at.sync(ALL)
        await at.settle()
        at.switch.changes.clear()
        at.desired.hear(told(CLIENT, CLIENT.key, 2, "api.example.com"))
        await at.settle()
        assert at.book.names("vpc-1").addresses("api.example.com") == [CLIENT.address]
        at.desired.hear(Versioned(CLIENT.key, 3, CLIENT))
        assert await at.settle() == {name(OTHER)}
        assert at.book.names("vpc-1").addresses("api.example.com") == []
        assert at.switch.changes == []


async def test_when_the_fence_goes_up_names_go_first() -> None:
    async with bench() as at:
        at.sync(ALL)
        await at.settle()
        at.switch.seen.clear()
        at.clock.seconds += Pace().fence_after
        assert await at.settle() == frozenset()
        assert at.switch.entries == {}
        assert not at.book.settled


async def test_resolvers_are_wanted_while_their_vpcs_are_reached() -> None:
    async with bench() as at:
        at.desired.replace([told(each, each.key, 1) for each in (*ALL, RESOLVER)], position=1)
        await at.settle()
        assert at.answering.wanted == {"vpc-1": RESOLVER}
        other = replace(RESOLVER, address=ip_address("10.0.0.54"))
        at.desired.hear(told(other, RESOLVER.key, 2))
        await at.settle()
        assert at.answering.wanted == {"vpc-1": other}
        at.desired.hear(told(REMOVED, SHOP.key, 2))
        await at.settle()
        assert at.answering.wanted == {"vpc-1": None}


contents: st.SearchStrategy[tuple[Key, Content]] = st.one_of(
    st.sampled_from(
        [
            (CLIENT.key, CLIENT),
            (CLIENT.key, REMOVED),
            (CLIENT.key, replace(CLIENT, draining_until=1 << 62)),
            (CLIENT.key, replace(CLIENT, allowed=NOBODY)),
            (CLIENT.key, replace(CLIENT, admission=2)),
            (CLIENT.key, replace(CLIENT, address=ip_address("10.0.0.200"))),
            (OTHER.key, OTHER),
            (OTHER.key, REMOVED),
            (WEB.key, WEB),
            (WEB.key, REMOVED),
            (WEB.key, replace(WEB, ports=())),
            (WEB.key, replace(WEB, vpc="vpc-1")),
            (SHOP.key, SHOP),
            (SHOP.key, REMOVED),
            (PAYMENTS.key, PAYMENTS),
            (PAYMENTS.key, REMOVED),
        ]
    )
)
steps = st.lists(st.lists(contents, min_size=1, max_size=3), max_size=8)


@given(steps, st.lists(st.sampled_from([each.key for each in ALL]), max_size=2))
async def test_in_any_history_a_name_is_answered_only_while_packets_pass(
    history: list[list[tuple[Key, Content]]], refused: list[Key]
) -> None:
    """`Watched` looks before and after every change."""
    async with bench() as at:
        at.switch.refusals = {key: NotReady("not now") for key in refused}
        at.sync(ALL)
        version = 1
        for news in history:
            version += 1
            for key, content in news:
                at.desired.hear(told(content, key, version))
            await at.settle()
            at.switch.check(at.switch.answered())
        at.switch.refusals = {}
        at.clock.seconds += 600.0
        answered = await at.settle()
        for each in (CLIENT, OTHER):
            wanted = at.desired.wanted(each.key)
            opens = isinstance(wanted, Endpoint) and not wanted.draining_until and wanted.allowed != NOBODY
            assert (name(each) in answered) == opens


async def test_a_name_goes_before_the_first_of_all_that_makes_its_endpoint() -> None:
    """Of one with PROXY ports that is an endpoint in the annex, which may be the first to go."""
    told_port = replace(WEB.ports[0], identity=ClientIdentity.PROXY)
    async with bench() as at:
        at.sync([*(each for each in ALL if each != WEB), replace(WEB, ports=(told_port,))])
        assert await at.settle() == BOTH
        other: Content = replace(CLIENT, source_address=CLIENT.source_address + 1000)
        at.switch.seen.clear()
        at.desired.hear(told(WEB, WEB.key, 2))  # no PROXY ports any more
        assert await at.settle() == BOTH
        inner = [(change, answered) for change, answered in at.switch.seen if change.key.id == inner_id(CLIENT.id)]
        assert [name(CLIENT) in answered for _, answered in inner] == [False]
        at.desired.hear(told(replace(WEB, ports=(told_port,)), WEB.key, 3))
        assert await at.settle() == BOTH
        for version, content in ((4, other), (5, REMOVED)):
            at.switch.seen.clear()
            at.desired.hear(told(content, CLIENT.key, version))
            await at.settle()
            removals = [(change.key.id, answered) for change, answered in at.switch.seen if isinstance(change, Remove)]
            assert {key for key, _ in removals} >= {CLIENT.id, inner_id(CLIENT.id)}
            assert {answered for _, answered in removals} == {frozenset({name(OTHER)})}
