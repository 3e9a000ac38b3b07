"""A table that is not the control plane's is noticed and repaired, whoever altered it and whatever was lost."""

from dataclasses import replace
from pathlib import Path

from services.gateway_agent.dataplane.fake_kernel import FakeKernel
from services.gateway_agent.table import Endpoint, Key, Kind
from tests.support.agent import BASE, QUICK, WEB, Harness, agent, attachment, endpoint, eventually, id_of, service
from tests.support.control_plane import FORWARDING, HINDERED, control_plane

COMPARING = replace(QUICK, compare=0.05)
ONE = Key(Kind.ENDPOINT, id_of("1"))


async def repaired(gateway: Harness) -> None:
    """Waits until a difference was counted and the kernel has what should be there again."""
    await eventually("a difference to be counted", lambda: gateway.agent.feed.differences >= 1)
    await eventually("the table to be whole", lambda: gateway.agent.reconciler.in_sync)


async def test_an_entry_that_vanished_from_what_is_desired_is_fetched_again(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"), endpoint("2"))
        async with agent(control, FakeKernel(), tmp_path, pace=COMPARING) as gateway:
            await control.reported(id_of("2"), FORWARDING)
            desired = gateway.agent.feed._desired
            desired.replace([each for each in desired._known.values() if each.key != ONE], desired.position)
            gateway.agent.reconciler.nudge()
            await repaired(gateway)
            await eventually("the endpoint to be back", lambda: ONE in gateway.dataplane.table().entries)
            assert await gateway.dataplane.forwards("1")
            assert control.snapshots == 1 + gateway.agent.feed.resyncs == 2


async def test_an_entry_that_nobody_told_of_is_taken_out_again(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"))
        async with agent(control, FakeKernel(), tmp_path, pace=COMPARING) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            desired = gateway.agent.feed._desired
            known = desired.known(ONE)
            assert known is not None
            assert isinstance(known.content, Endpoint)
            smuggled = replace(known.content, id=id_of("9"), marker=9, address=known.content.address + 8)
            desired.hear(replace(known, key=smuggled.key, content=smuggled))
            gateway.agent.reconciler.nudge()
            await repaired(gateway)
            await eventually("it to be gone", lambda: smuggled.key not in gateway.dataplane.table().entries)


async def test_a_lost_source_address_that_no_version_and_no_position_tells_of_is_noticed(tmp_path: Path) -> None:
    async with control_plane() as control:
        known = await control.tell(*BASE, endpoint("1", lease=False))
        async with agent(control, FakeKernel(), tmp_path, pace=COMPARING) as gateway:
            await control.reported(id_of("1"), HINDERED)
            control.unreadable.add(known + 1)
            await control.heard(await control.tell(endpoint("1"), attachment(WEB, "passed on")))
            await control.reported(id_of("1"), FORWARDING)
            assert gateway.agent.feed.differences >= 1


async def test_what_others_alter_in_the_kernel_is_repaired_and_counted(tmp_path: Path) -> None:
    now = 1000.0
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"), endpoint("2"))
        kernel = FakeKernel()
        pace = replace(QUICK, audit=60.0)
        async with agent(control, kernel, tmp_path, pace=pace, clock=lambda: now) as gateway:
            await control.reported(id_of("2"), FORWARDING)
            before = gateway.dataplane.table()
            entry = before.entries[ONE]
            assert isinstance(entry, Endpoint)
            kernel.entries.remove(ONE)
            kernel.entries.put(replace(entry, address=entry.address + 50))
            kernel.entries.remove(Key(Kind.ENDPOINT, id_of("2")))
            gateway.agent.reconciler.nudge()
            await eventually("a turn before the audit", lambda: gateway.agent.reconciler.in_sync)
            assert gateway.agent.reconciler.repaired == 0
            now += 61.0
            gateway.agent.reconciler.nudge()
            await eventually("the table to be as before", lambda: gateway.dataplane.table() == before)
            assert gateway.agent.reconciler.repaired >= 2


async def test_a_control_plane_that_was_away_is_compared_with_as_soon_as_it_is_back(tmp_path: Path) -> None:
    async with control_plane(lease=0.3) as control:
        await control.tell(*BASE, endpoint("1"))
        async with agent(control, FakeKernel(), tmp_path) as gateway:  # which compares every hour
            await control.reported(id_of("1"), FORWARDING)
            known = await control.tell(service(2))
            await control.heard(known)
            await control.stop()
            control.unreadable.add(known + 1)
            await control.tell(endpoint("2"), endpoint("3"))
            control.forget()
            await control.start()
            await control.reported(id_of("2"), FORWARDING)
            assert gateway.agent.feed.differences >= 1
