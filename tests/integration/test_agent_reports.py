"""What an agent says of its endpoints: the truth, at once, and nothing of the other side."""

from dataclasses import replace
from pathlib import Path

from services.gateway_agent import facts
from services.gateway_agent.dataplane.fake_kernel import FakeKernel, TcpFlags
from tests.support.agent import BACKEND, BASE, PAYMENTS, QUICK, WEB, agent, endpoint, eventually, id_of, netns, service
from tests.support.control_plane import ABSENT, FORWARDING, HINDERED, control_plane
from tests.support.standalone import until


async def test_the_deletion_of_an_endpoint_that_was_never_here_is_reported(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1", 4, removed=True))
        async with agent(control, FakeKernel(), tmp_path):
            await control.reported(id_of("1"), ABSENT, generation=4)
            await control.tell(endpoint("2", 1, removed=True))
            await control.reported(id_of("2"), ABSENT, generation=1)


async def test_a_removed_endpoint_is_reported_absent_once_it_is_out_of_the_kernel(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            await control.tell(endpoint("1", 2, removed=True))
            await control.reported(id_of("1"), ABSENT, generation=2)
            assert not await gateway.dataplane.forwards()


async def test_a_new_generation_that_changes_nothing_here_is_reported_too(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING, generation=1)
            before = len(gateway.dataplane.changes)
            await control.tell(endpoint("1", 2))
            await control.reported(id_of("1"), FORWARDING, generation=2)
            assert gateway.dataplane.changes[before:] == []


async def test_nothing_is_said_twice(tmp_path: Path) -> None:
    async with control_plane(lease=0.3) as control:
        await control.tell(*BASE, *(endpoint(str(number)) for number in range(1, 21)))
        async with agent(control, FakeKernel(), tmp_path):
            await control.reported(id_of("20"), FORWARDING)
            await control.renewed(times=3)
            assert sum(len(call.endpoints) for call in control.calls) == 20


async def test_after_a_restart_of_the_control_plane_everything_is_said_again(tmp_path: Path) -> None:
    async with control_plane(lease=0.3) as control:
        await control.tell(*BASE, endpoint("1"), endpoint("2", 2, removed=True))
        async with agent(control, FakeKernel(), tmp_path):
            await control.reported(id_of("1"), FORWARDING)
            control.forget()
            await control.joined(2)
            await control.reported(id_of("1"), FORWARDING)
            await control.reported(id_of("2"), ABSENT)
            assert control.snapshots == 1, "what an agent knows need not be told again"


async def test_a_report_that_was_not_answered_is_made_again(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE)
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.heard(await control.tell(endpoint("1")))
            control.refuse_reports = True
            await control.tell(endpoint("2"))
            await eventually("a refused report", lambda: control.refused > 0)
            await until("forwarding, which waits for no report", lambda: gateway.dataplane.forwards("2"))
            control.refuse_reports = False
            await control.reported(id_of("2"), FORWARDING)


async def test_an_endpoint_without_a_source_address_is_hindered_until_it_has_one(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1", lease=False))
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            assert "source address" in await control.reported(id_of("1"), HINDERED, generation=1)
            await control.tell(endpoint("1", 2))
            await control.reported(id_of("1"), FORWARDING, generation=2)
            assert await gateway.dataplane.forwards()


async def test_a_silent_backend_is_a_hindrance_that_names_nothing_of_the_provider(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            gateway.dataplane.silence(PAYMENTS, BACKEND)
            assert await control.reported(id_of("1"), HINDERED) == facts.SERVICE_NOT_ANSWERING
            gateway.dataplane.answer(PAYMENTS, BACKEND)
            await control.reported(id_of("1"), FORWARDING)


async def test_a_service_that_takes_no_new_connections_says_so_and_keeps_those_it_has(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            assert await gateway.dataplane.forwards()
            drained = service(2)
            drained.service.weighted_backends.add(address=str(BACKEND), weight=3, draining=True)
            await control.tell(drained)
            assert await control.reported(id_of("1"), HINDERED) == facts.SERVICE_DRAINING
            assert await gateway.dataplane.forwards(flags=TcpFlags.ACK)
            assert not await gateway.dataplane.forwards(port=40001)
            await control.tell(service(3))
            await control.reported(id_of("1"), FORWARDING)
            assert await gateway.dataplane.forwards(port=40001)


async def test_an_endpoint_of_a_silent_service_is_never_said_to_be_forwarded(tmp_path: Path) -> None:
    kernel = FakeKernel()
    kernel.silent_hosts.add((PAYMENTS, BACKEND))
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, kernel, tmp_path):
            await control.reported(id_of("1"), HINDERED)
            assert all(each.presence == HINDERED for call in control.calls for each in call.endpoints)


async def test_a_namespace_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    kernel = FakeKernel()
    kernel.missing.add(netns("payments"))
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, kernel, tmp_path) as gateway:
            reason = await control.reported(id_of("1"), HINDERED)
            assert reason == facts.SERVICE_NOT_REACHED
            assert "payments" not in reason
            gateway.dataplane.restore(netns("payments"))
            await control.reported(id_of("1"), FORWARDING)
            assert await gateway.dataplane.forwards()


async def test_an_endpoint_that_comes_while_its_vpc_cannot_be_reached_is_hindered_at_once(tmp_path: Path) -> None:
    kernel = FakeKernel()
    kernel.missing.add(netns("shop"))
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"))
        async with agent(control, kernel, tmp_path, pace=replace(QUICK, retry=(3600.0, 3600.0))):
            assert await control.reported(id_of("1"), HINDERED) == facts.VPC_NOT_REACHED
            await control.tell(endpoint("2"))
            assert await control.reported(id_of("2"), HINDERED) == facts.VPC_NOT_REACHED


async def test_a_device_that_goes_away_is_made_again_when_its_namespace_is_back(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            gateway.dataplane.lose(netns("shop"))
            assert await control.reported(id_of("1"), HINDERED) == facts.VPC_NOT_REACHED
            gateway.dataplane.restore(netns("shop"))
            await control.reported(id_of("1"), FORWARDING)
            assert await gateway.dataplane.forwards()


async def test_reports_of_many_endpoints_come_in_portions_that_the_contract_allows(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, *(endpoint(str(number), 1, removed=True) for number in range(1, 6_002)))
        async with agent(control, FakeKernel(), tmp_path):
            await eventually("a report of each", lambda: len(control.reports) == 6_001)
            assert max(len(call.endpoints) for call in control.calls) <= 5000


async def test_a_gone_service_hinders_its_endpoints(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            await control.tell(service(2, removed=True))
            assert await control.reported(id_of("1"), HINDERED) == facts.SERVICE_NOT_KNOWN
            assert not await gateway.dataplane.forwards()


async def test_a_change_of_backends_that_fails_is_a_hindrance_until_it_succeeds(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            gateway.dataplane.refused.add(WEB)
            await control.tell(service(2, "10.0.0.10", "10.0.0.11"))
            assert await control.reported(id_of("1"), HINDERED) == facts.SERVICE_NOT_ANSWERING
            assert await gateway.dataplane.forwards(), "what was there goes on"
            gateway.dataplane.refused.clear()
            await control.reported(id_of("1"), FORWARDING)
