"""How an agent hears: a snapshot, then every event, whatever happens to the control plane meanwhile."""

from dataclasses import replace
from pathlib import Path

from services.gateway_agent.dataplane.fake_kernel import FakeKernel
from services.gateway_agent.table import Key, Kind
from tests.support.agent import BASE, QUICK, SHOP, WEB, agent, attachment, endpoint, eventually, id_of, netns, service
from tests.support.control_plane import ABSENT, FORWARDING, HINDERED, control_plane

ONE = Key(Kind.ENDPOINT, id_of("1"))


async def test_an_endpoint_of_the_snapshot_is_forwarded_and_reported(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING, generation=1)
            assert await gateway.dataplane.forwards()


async def test_events_reach_the_kernel_in_whatever_order_the_entries_come(tmp_path: Path) -> None:
    async with control_plane() as control, agent(control, FakeKernel(), tmp_path) as gateway:
        await control.tell(endpoint())
        assert await control.reported(id_of("1"), HINDERED)
        await control.tell(*reversed(BASE))
        await control.reported(id_of("1"), FORWARDING)
        assert await gateway.dataplane.forwards()


async def test_events_that_come_during_the_snapshot_are_not_missed(tmp_path: Path) -> None:
    async with control_plane() as control:
        control.may_send.clear()
        await control.tell(*BASE, endpoint("1"))
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.asked_for_snapshot.wait()
            position = await control.tell(endpoint("1", 2, removed=True), endpoint("2"))
            control.may_send.set()
            await control.reported(id_of("2"), FORWARDING)
            await control.reported(id_of("1"), ABSENT, generation=2)
            await control.heard(position)
            assert [change.key for change in gateway.dataplane.changes if change.key == ONE] == []


async def test_an_older_version_changes_nothing(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1", 1), endpoint("1", 3, removed=True))
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), ABSENT, generation=3)
            position = await control.tell(endpoint("1", 2), endpoint("2"))
            await control.heard(position)
            assert not gateway.dataplane.kernel.entries.endpoint(id_of("1"))


async def test_a_change_of_backends_is_one_change_of_one_entry(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, *(endpoint(str(number)) for number in range(1, 51)))
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("50"), FORWARDING)
            before = len(gateway.dataplane.changes)
            await control.heard(await control.tell(service(2, "10.0.0.10", "10.0.0.11"), endpoint("51")))
            assert [change.key.id for change in gateway.dataplane.changes[before:]] == [WEB, id_of("51")]


async def test_a_vpc_that_is_reached_otherwise_takes_its_endpoints_out_and_back(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            await control.heard(await control.tell(attachment(SHOP, "elsewhere", 2)))
            attached = gateway.dataplane.kernel.entries.attachment(SHOP)
            assert attached is not None
            assert attached.target == netns("elsewhere")
            assert await gateway.dataplane.forwards()


async def test_forwarding_goes_on_while_the_control_plane_is_away(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            await control.stop()
            await control.tell(endpoint("2"))
            assert await gateway.dataplane.forwards()
            await control.start()
            await control.reported(id_of("2"), FORWARDING)
            assert control.snapshots == 1


async def test_an_agent_that_starts_before_the_control_plane_waits_for_it(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        await control.stop()
        async with agent(control, FakeKernel(), tmp_path):
            await control.start()
            await control.reported(id_of("1"), FORWARDING)


async def test_a_table_that_differs_from_the_control_planes_is_taken_anew(tmp_path: Path) -> None:
    async with control_plane() as control:
        known = await control.tell(*BASE, endpoint("2"))
        async with agent(control, FakeKernel(), tmp_path, pace=replace(QUICK, compare=0.05)) as gateway:
            await control.reported(id_of("2"), FORWARDING)
            control.unreadable.add(known + 1)
            await control.tell(endpoint("1"), endpoint("3"))
            await control.reported(id_of("1"), FORWARDING)
            assert gateway.agent.feed.resyncs >= 1
            assert control.snapshots >= 2


async def test_equal_tables_need_no_second_snapshot(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"), endpoint("2", 1, lease=False), endpoint("3", 2, removed=True))
        async with agent(control, FakeKernel(), tmp_path, pace=replace(QUICK, compare=0.02)):
            await eventually("ten comparisons", lambda: control.digests >= 10)
            assert control.snapshots == 1


async def test_an_agent_follows_when_the_log_is_replaced_by_another(tmp_path: Path) -> None:
    async with control_plane(lease=0.3) as control:
        await control.tell(*BASE, endpoint("1", 5), endpoint("2"))
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("2"), FORWARDING)
            control.begin_another_log()
            await control.tell(*BASE, endpoint("1"))
            await control.reported(id_of("1"), FORWARDING, generation=1)
            assert not gateway.dataplane.kernel.entries.endpoint(id_of("2"))


async def test_a_snapshot_that_broke_off_is_not_taken_for_the_whole_table(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"))
        control.broken_snapshots = 2
        async with agent(control, FakeKernel(), tmp_path):
            await control.reported(id_of("1"), FORWARDING)
            assert control.snapshots == 3
            assert all(report.presence == FORWARDING for call in control.calls for report in call.endpoints)
