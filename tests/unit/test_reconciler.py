"""The loop that makes the kernel forward what is desired, step by step and without a clock of its own."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from services.gateway_agent.backend_health import HealthFigures, ServiceHealth
from services.gateway_agent.captures import Capture
from services.gateway_agent.control_plane import ControlPlane
from services.gateway_agent.dataplane.port import DataplaneError, NotReady
from services.gateway_agent.desired import REMOVED, Desired, Versioned
from services.gateway_agent.facts import Facts
from services.gateway_agent.fence import Fence
from services.gateway_agent.flows import FlowRecord
from services.gateway_agent.pace import Pace
from services.gateway_agent.packet_trace import Opening, PacketTrace
from services.gateway_agent.reach import Reach
from services.gateway_agent.reconciler import LONGEST_REST, PATIENCE, Reconciler
from services.gateway_agent.reporter import Reporter
from services.gateway_agent.table import Change, Entry, ForwardingTable, Key, Put, Remove
from services.gateway_agent.tracker import Tracker
from services.gateway_agent.traffic import Traffic
from sidegate.access import Untold
from sidegate.transport import Caller
from tests.support.operations import operations
from tests.support.tables import attachment, endpoint, service

SHOP, PAYMENTS = attachment("vpc-1", "blue"), attachment("vpc-2", "green")
WEB = service("service-1", "vpc-2")
CLIENT = endpoint(1, "vpc-1", "service-1")
ALL = (SHOP, PAYMENTS, WEB, CLIENT)


@dataclass
class Switch:
    """The plainest data plane: a table that costs nothing to change, and refuses what a test says."""

    entries: dict[Key, Entry] = field(default_factory=dict)
    refusals: dict[Key, DataplaneError] = field(default_factory=dict)
    reasons: dict[Key, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    attempts: int = 0
    reads: int = 0

    async def open(self) -> None: ...

    async def read(self) -> ForwardingTable:
        self.reads += 1
        return ForwardingTable(dict(self.entries))

    async def apply(self, change: Change) -> None:
        self.attempts += 1
        if change.key in self.refusals:
            raise self.refusals[change.key]
        self.changes.append(change)
        match change:
            case Put(entry):
                self.entries[entry.key] = entry
            case Remove(key):
                del self.entries[key]

    def difficulties(self) -> Mapping[Key, str]:
        return dict(self.reasons)

    def health(self, service: str) -> ServiceHealth | None:
        return None

    def take_health_news(self) -> frozenset[str]:
        return frozenset()

    def health_figures(self) -> HealthFigures:
        return HealthFigures()

    async def wait_for_news(self) -> None:
        await asyncio.get_running_loop().create_future()

    def sessions(self) -> int:
        return 0

    def session_capacity(self) -> int:
        return 0

    async def counters(self) -> Mapping[str, int]:
        return {}

    def counting(self) -> str:
        return "1"

    async def traffic(self) -> Mapping[str, Traffic]:
        return {}

    async def traffic_of(self, endpoint: str) -> Traffic | None:
        return None

    async def collect(self) -> int:
        return 0

    async def reach(self, endpoint: str, seconds: float) -> Reach | None:
        return None

    async def trace(self, endpoint: str, opening: Opening) -> PacketTrace | None:
        return None

    def capture(self, endpoint: str, snap: int) -> Capture | None:
        return None

    def sample_flows(self, one_of: int) -> None: ...

    async def flows(self) -> AsyncGenerator[FlowRecord, None]:
        return
        yield

    def lost_flows(self) -> int:
        return 0

    async def close(self) -> None: ...

    async def uninstall(self) -> None: ...


@dataclass
class Clock:
    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Bench:
    """A reconciler whose turns a test takes by itself."""

    clock: Clock
    switch: Switch
    desired: Desired
    fence: Fence
    reconciler: Reconciler

    async def settle(self) -> float:
        """Turns until there is nothing to be done at this moment; gives the rest that may follow."""
        while (rest := await self.reconciler.turn()) == 0.0:
            pass
        return rest

    def sync(self, entries: Iterable[Entry]) -> None:
        self.desired.replace([Versioned(entry.key, 1, entry) for entry in entries], position=1)


@asynccontextmanager
async def bench(*actual: Entry, pace: Pace | None = None) -> AsyncIterator[Bench]:
    clock, switch = Clock(), Switch(dict(ForwardingTable.of(actual).entries))
    pace = pace or Pace()
    desired, tracker, fence = Desired(), Tracker(), Fence(clock, pace.fence_after)
    facts, caller = Facts(desired, tracker), Caller("unix:/nowhere", Untold())
    reporter = Reporter(ControlPlane("gw-1", "c1", caller, fence), desired, facts, pace)
    reconciler = Reconciler(switch, reporter, desired=desired, tracker=tracker, facts=facts, fence=fence, pace=pace)
    try:
        await reconciler.start()
        yield Bench(clock, switch, desired, fence, reconciler)
    finally:
        await caller.close()


async def test_nothing_is_touched_before_the_table_is_whole() -> None:
    async with bench(*ALL) as at:
        at.desired.hear(Versioned(CLIENT.key, 2, REMOVED))
        assert await at.reconciler.turn() == LONGEST_REST
        assert at.switch.changes == []
        at.sync([SHOP])
        await at.settle()
        assert at.switch.entries == {SHOP.key: SHOP}


async def test_the_kernel_is_read_once_and_then_only_by_audits() -> None:
    async with bench(pace=Pace(audit=60.0)) as at:
        at.sync(ALL)
        await at.settle()
        at.clock.seconds += 59.0
        await at.settle()
        assert at.switch.reads == 1
        at.clock.seconds += 1.0
        await at.settle()
        assert at.switch.reads == 2


async def test_an_audit_repairs_and_counts_what_was_altered() -> None:
    async with bench(pace=Pace(audit=60.0)) as at:
        at.sync(ALL)
        await at.settle()
        del at.switch.entries[CLIENT.key]
        at.switch.entries[WEB.key] = replace(WEB, ports=())
        at.clock.seconds += 60.0
        await at.settle()
        assert at.switch.entries == ForwardingTable.of(ALL).entries
        assert at.reconciler.repaired == 2


@pytest.mark.parametrize("refusal", [NotReady("no namespace blue"), DataplaneError("no more endpoints fit")])
async def test_what_is_refused_is_tried_again_later_and_later(refusal: DataplaneError) -> None:
    async with bench(pace=Pace(retry=(1.0, 6.0))) as at:
        at.switch.refusals[CLIENT.key] = refusal
        at.sync(ALL)
        attempts = []
        for second in range(26):
            before = at.switch.attempts
            await at.settle()
            attempts += [second] if at.switch.attempts > before else []
            at.clock.seconds += 1.0
        assert attempts == [0, 1, 3, 7, 13, 19, 25]
        assert not at.reconciler.in_sync
        at.switch.refusals.clear()
        at.clock.seconds += 6.0
        await at.settle()
        assert at.switch.entries == ForwardingTable.of(ALL).entries
        assert at.reconciler.in_sync


async def test_a_refusal_holds_up_nothing_else() -> None:
    other = endpoint(2, "vpc-1", "service-1")
    async with bench() as at:
        at.switch.refusals[CLIENT.key] = NotReady("not yet")
        at.sync([*ALL, other])
        await at.settle()
        assert at.switch.entries[other.key] == other


async def test_an_attachment_without_its_device_is_put_again_until_it_is_well() -> None:
    async with bench(pace=Pace(retry=(0.2, 5.0))) as at:
        at.sync(ALL)
        await at.settle()
        at.switch.reasons[SHOP.key] = "device sidegate0 went away"
        at.switch.refusals[SHOP.key] = NotReady("no namespace blue")
        await at.settle()
        at.clock.seconds += 0.2
        before = at.switch.attempts
        await at.settle()
        assert at.switch.attempts == before + 1
        at.switch.refusals.clear()
        at.clock.seconds += 0.4
        at.switch.changes.clear()
        await at.settle()
        assert at.switch.changes == [Put(SHOP)], "what uses it stays where it is"


async def test_an_endpoint_that_lacks_a_way_in_a_namespace_is_put_again_until_it_has_it() -> None:
    async with bench(pace=Pace(retry=(0.2, 5.0))) as at:
        at.sync(ALL)
        await at.settle()
        at.switch.reasons[CLIENT.key] = "network namespace blue has another route to 100.125.0.0/16"
        await at.settle()
        at.switch.changes.clear()
        at.clock.seconds += 0.2
        await at.settle()
        assert at.switch.changes == [Put(CLIENT)]


async def test_the_fence_takes_everything_out_users_first() -> None:
    async with bench(*ALL) as at:
        at.sync(ALL)
        await at.settle()
        at.clock.seconds += at.fence.after
        await at.settle()
        assert at.switch.entries == {}
        assert [change.key.kind for change in at.switch.changes[:2]] == ["endpoint", "service"]
        assert not at.desired.synced


async def test_an_agent_that_never_hears_of_the_control_plane_stops_too() -> None:
    async with bench(*ALL) as at:
        at.clock.seconds += at.fence.after
        await at.settle()
        assert at.switch.entries == {}


async def test_behind_the_fence_nothing_is_forwarded_even_if_a_snapshot_comes() -> None:
    async with bench() as at:
        at.clock.seconds += at.fence.after
        await at.settle()
        at.sync(ALL)
        await at.settle()
        assert at.switch.entries == {}
        at.fence.hear(at.clock())
        at.sync(ALL)
        await at.settle()
        assert at.switch.entries == ForwardingTable.of(ALL).entries


async def test_what_is_heard_during_a_long_pass_does_not_wait_for_its_end() -> None:
    many = [endpoint(number, "vpc-1", "service-1") for number in range(1, PATIENCE + 5000)]
    async with bench() as at:
        at.sync([SHOP, PAYMENTS, WEB, *many])
        turn = asyncio.create_task(at.reconciler.turn())
        while not at.switch.changes:
            await asyncio.sleep(0)
        last = at.desired.hear(Versioned(many[-1].key, 2, REMOVED))
        at.reconciler.nudge()
        assert last
        assert await turn == 0.0
        assert PATIENCE <= len(at.switch.changes) < len(many)
        await at.settle()
        assert len(at.switch.entries) == len(many) + 2
        assert many[-1].key not in at.switch.entries


async def cost_of_one_change(endpoints: int) -> tuple[int, int]:
    """Changes made, and operations needed, for one endpoint that is approved again."""
    clients = [endpoint(number, "vpc-1", "service-1") for number in range(1, endpoints + 1)]
    async with bench() as at:
        at.sync([SHOP, PAYMENTS, WEB, *clients])
        await at.settle()
        assert len(at.switch.changes) == endpoints + 3, "each entry is made once at the start"
        at.switch.changes.clear()
        at.desired.hear(Versioned(CLIENT.key, 2, replace(CLIENT, admission=2)))
        turn = at.reconciler.turn()

        def take() -> None:
            with pytest.raises(StopIteration):
                turn.send(None)

        cost = operations(take)
        return len(at.switch.changes), cost


async def test_one_change_costs_as_much_among_a_hundred_thousand_endpoints_as_among_ten() -> None:
    changes, cost = await cost_of_one_change(100_000)
    assert (changes, cost) == await cost_of_one_change(10)
    assert changes == 1
    assert cost < 600
