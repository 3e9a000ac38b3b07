"""What must never happen: packets that the control plane does not want, and packets lost without need."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from services.gateway_agent.control_plane import Membership
from services.gateway_agent.dataplane.fake_kernel import FakeKernel, TcpFlags
from services.gateway_agent.feed import Feed, Resync
from services.gateway_agent.table import Key, Kind
from tests.support.agent import BASE, QUICK, Recorded, agent, endpoint, eventually, id_of
from tests.support.control_plane import FORWARDING, ControlPlane, control_plane
from tests.support.nats import DEADLINE

ONE = Key(Kind.ENDPOINT, id_of("1"))


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


async def kernel_with_an_endpoint(directory: Path, control: ControlPlane) -> FakeKernel:
    """What an agent leaves behind that forwarded endpoint 1 and was killed."""
    kernel = FakeKernel()
    await control.tell(*BASE, endpoint())
    async with agent(control, kernel, directory):
        await control.reported(id_of("1"), FORWARDING)
    control.forget()
    return kernel


async def test_a_restarted_agent_finds_its_work_done_and_cuts_nothing(tmp_path: Path) -> None:
    async with control_plane() as control:
        kernel = await kernel_with_an_endpoint(tmp_path, control)
        async with agent(control, kernel, tmp_path) as gateway:
            assert await gateway.dataplane.forwards(port=1)
            await control.reported(id_of("1"), FORWARDING)
            assert gateway.dataplane.changes == []
            assert await gateway.dataplane.forwards(port=1, flags=TcpFlags.ACK)


async def test_nothing_is_touched_before_the_whole_table_was_heard(tmp_path: Path) -> None:
    async with control_plane() as control:
        kernel = await kernel_with_an_endpoint(tmp_path, control)
        await control.tell(endpoint("1", 2, removed=True), endpoint("2"))
        control.may_send.clear()
        control.asked_for_snapshot.clear()
        async with agent(control, kernel, tmp_path) as gateway:
            await control.asked_for_snapshot.wait()
            await eventually("the kernel to be read", lambda: gateway.dataplane.reads > 0)
            await gateway.agent.reconciler.turn()
            assert gateway.dataplane.changes == []
            control.may_send.set()
            await control.reported(id_of("2"), FORWARDING)
            assert not kernel.entries.endpoint(id_of("1"))


async def test_what_was_rejected_and_accepted_while_the_agent_was_away_is_cut(tmp_path: Path) -> None:
    async with control_plane() as control:
        kernel = await kernel_with_an_endpoint(tmp_path, control)
        assert await Recorded(kernel).forwards(port=1)
        await control.tell(endpoint("1", 2, removed=True), endpoint("1", 3, admission=2))
        async with agent(control, kernel, tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING, generation=3)
            assert [change.key for change in gateway.dataplane.changes] == [ONE]
            assert not await gateway.dataplane.forwards(port=1, flags=TcpFlags.ACK)
            assert await gateway.dataplane.forwards(port=2)


async def test_sessions_of_an_earlier_admission_end_and_new_ones_begin(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            assert await gateway.dataplane.forwards(port=1)
            await control.tell(endpoint("1", 2, removed=True), endpoint("1", 3, admission=2))
            await control.reported(id_of("1"), FORWARDING, generation=3)
            assert not await gateway.dataplane.forwards(port=1, flags=TcpFlags.ACK)
            assert await gateway.dataplane.forwards(port=2)


async def test_what_the_control_plane_does_not_know_is_swept_from_the_kernel(tmp_path: Path) -> None:
    async with control_plane() as control:
        kernel = await kernel_with_an_endpoint(tmp_path, control)
        control.begin_another_log()
        await control.tell(*BASE)
        async with agent(control, kernel, tmp_path):
            await eventually("the endpoint to go", lambda: not kernel.entries.endpoint(id_of("1")))


async def test_an_audit_repairs_what_was_removed_behind_our_back(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        kernel = FakeKernel()
        async with agent(control, kernel, tmp_path, pace=replace(QUICK, audit=0.02)) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            kernel.entries.remove(ONE)
            await eventually("the endpoint to be back", lambda: kernel.entries.endpoint(id_of("1")) is not None)
            assert gateway.agent.reconciler.repaired == 1


async def test_an_agent_that_hears_nothing_for_too_long_forwards_no_more_until_it_has_heard_all(
    tmp_path: Path,
) -> None:
    clock, kernel = Clock(), FakeKernel()
    async with control_plane(fence_after=60.0) as control:
        await control.tell(*BASE, endpoint("1"), endpoint("2"))
        async with agent(control, kernel, tmp_path, clock=clock) as gateway:
            await control.reported(id_of("2"), FORWARDING)
            await control.stop()
            clock.seconds += 59.0
            await gateway.agent.reconciler.turn()
            assert await gateway.dataplane.forwards("1")
            clock.seconds += 1.0
            gateway.agent.reconciler.nudge()
            await eventually("an empty kernel", lambda: not kernel.entries.table().entries)

            await control.tell(endpoint("1", 2, removed=True))
            control.may_send.clear()
            control.asked_for_snapshot.clear()
            await control.start()
            await control.asked_for_snapshot.wait()
            await gateway.agent.reconciler.turn()
            assert not kernel.entries.table().entries, "what it heard an hour ago may not be so any more"
            control.may_send.set()
            await eventually("the second endpoint", lambda: kernel.entries.endpoint(id_of("2")) is not None)
            assert not await gateway.dataplane.forwards("1")


async def test_every_renewal_of_the_lease_keeps_the_fence_down(tmp_path: Path) -> None:
    clock = Clock()
    async with control_plane(lease=0.3, fence_after=60.0) as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path, clock=clock) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            for _ in range(3):
                clock.seconds += 50.0
                await control.renewed(times=2)
                await gateway.agent.reconciler.turn()
            assert gateway.dataplane.kernel.entries.endpoint(id_of("1"))
            assert control.snapshots == 1


async def test_a_restart_is_no_sign_of_the_control_plane(tmp_path: Path) -> None:
    clock = Clock()
    async with control_plane(fence_after=60.0) as control:
        await control.tell(*BASE, endpoint())
        kernel = FakeKernel()
        async with agent(control, kernel, tmp_path, clock=clock):
            await control.reported(id_of("1"), FORWARDING)
        await control.stop()
        clock.seconds += 61.0
        async with agent(control, kernel, tmp_path, clock=clock):
            await eventually("an empty kernel", lambda: not kernel.entries.table().entries)


async def test_a_retired_gateway_forwards_no_more(tmp_path: Path) -> None:
    async with control_plane(lease=0.3) as control:
        await control.tell(*BASE, endpoint())
        kernel = FakeKernel()
        async with agent(control, kernel, tmp_path):
            await control.reported(id_of("1"), FORWARDING)
            control.retired = True
            control.forget()
            await eventually("an empty kernel", lambda: not kernel.entries.table().entries)


async def test_an_agent_that_is_stopped_while_it_begins_anew_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with control_plane() as control:
        await control.tell(*BASE)
        async with agent(control, FakeKernel(), tmp_path) as gateway:

            async def stop_and_fail(_feed: Feed, _membership: Membership) -> None:
                gateway.task.cancel()
                raise Resync("in the same turn of the event loop")

            monkeypatch.setattr(Feed, "_watch", stop_and_fail)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(gateway.task, DEADLINE)


async def test_an_agent_ends_when_a_part_of_it_breaks(tmp_path: Path) -> None:
    class BrokenError(Exception):
        pass

    class Broken(Recorded):
        async def collect(self) -> int:
            raise BrokenError

    async with control_plane() as control:
        with pytest.raises(ExceptionGroup) as ended:
            async with agent(control, FakeKernel(), tmp_path, dataplane=Broken) as gateway:
                await asyncio.wait_for(gateway.task, DEADLINE)
        assert isinstance(ended.value.exceptions[0], BrokenError)
