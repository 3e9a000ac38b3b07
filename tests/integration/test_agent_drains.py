"""Sessions that drain, through a whole agent: the moment is kept by its own clock, whoever is away meanwhile."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from services.common.clock import SECOND
from services.gateway_agent.dataplane.fake_kernel import FakeKernel, TcpFlags
from services.gateway_agent.table import Key, Kind
from tests.support.agent import BASE, QUICK, agent, endpoint, eventually, id_of
from tests.support.control_plane import ABSENT, FORWARDING, control_plane

ONE = Key(Kind.ENDPOINT, id_of("1"))
HOUR = 3600 * SECOND


@dataclass
class WallClock:
    """The machine's, and what a test adds."""

    ahead: int = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead


async def test_a_gateway_that_is_cut_off_ends_a_drain_by_its_own_clock(tmp_path: Path) -> None:
    clock, until = WallClock(), time.time_ns() + HOUR
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path, wall_clock=clock) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            assert await gateway.dataplane.forwards(port=1)
            await control.tell(endpoint("1", 2, draining_until=until))
            await control.reported(id_of("1"), FORWARDING, generation=2)
            assert await gateway.dataplane.forwards(port=1, flags=TcpFlags.ACK)
            assert not await gateway.dataplane.forwards(port=2)

            await control.stop()
            clock.ahead = HOUR
            gateway.agent.reconciler.nudge()
            await eventually("the endpoint to go", lambda: ONE not in gateway.dataplane.table().entries)
            assert not await gateway.dataplane.forwards(port=1, flags=TcpFlags.ACK)
            clock.ahead = 0
            await control.start()
            await control.reported(id_of("1"), ABSENT, generation=2)
            await control.tell(endpoint("1", 3, removed=True))
            await control.reported(id_of("1"), ABSENT, generation=3)


async def test_an_agent_that_is_killed_while_sessions_drain_leaves_them_and_its_successor_ends_them(
    tmp_path: Path,
) -> None:
    clock, kernel, until = WallClock(), FakeKernel(), time.time_ns() + HOUR
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, kernel, tmp_path, wall_clock=clock) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            assert await gateway.dataplane.forwards(port=1)
            await control.tell(endpoint("1", 2, draining_until=until))
            await control.reported(id_of("1"), FORWARDING, generation=2)
        control.forget()
        async with agent(control, kernel, tmp_path, wall_clock=clock) as gateway:
            await control.reported(id_of("1"), FORWARDING, generation=2)
            assert gateway.dataplane.changes == []
            assert await gateway.dataplane.forwards(port=1, flags=TcpFlags.ACK)
        control.forget()
        clock.ahead = HOUR
        async with agent(control, kernel, tmp_path, wall_clock=clock) as gateway:
            await control.reported(id_of("1"), ABSENT, generation=2)
            assert not await gateway.dataplane.forwards(port=1, flags=TcpFlags.ACK)


async def test_an_endpoint_that_is_accepted_while_its_sessions_drain_keeps_them(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            assert await gateway.dataplane.forwards(port=1)
            await control.tell(endpoint("1", 2, draining_until=time.time_ns() + HOUR), endpoint("1", 3))
            await control.reported(id_of("1"), FORWARDING, generation=3)
            assert await gateway.dataplane.forwards(port=1, flags=TcpFlags.ACK)
            assert await gateway.dataplane.forwards(port=2)


async def test_a_drain_that_has_ended_at_the_gateway_only_makes_no_difference_of_tables(tmp_path: Path) -> None:
    clock = WallClock()
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1", 2, draining_until=time.time_ns() + HOUR))
        pace = replace(QUICK, compare=0.05)
        async with agent(control, FakeKernel(), tmp_path, pace=pace, wall_clock=clock) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            clock.ahead = HOUR
            gateway.agent.reconciler.nudge()
            await control.reported(id_of("1"), ABSENT)
            compared = control.digests
            await eventually("another comparison", lambda: control.digests > compared + 1)
            assert gateway.agent.feed.differences == 0
