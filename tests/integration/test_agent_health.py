"""What an agent says of backends: transitions, once each, and nothing of checks that change nothing."""

from collections.abc import Collection
from pathlib import Path

from services.gateway_agent.backend_health import Failure
from services.gateway_agent.dataplane.fake_kernel import FakeKernel
from sidegate.api.gateway.v1 import gateway_service_pb2 as gateway_pb
from sidegate.api.gateway.v1.backend_health_pb2 import BackendHealthReport
from sidegate.api.registry.v1.endpoint_service_pb2 import HealthCheck
from tests.support.agent import BACKEND, BASE, PAYMENTS, WEB, Harness, agent, endpoint, eventually, id_of, service
from tests.support.control_plane import FORWARDING, ControlPlane, Told, control_plane

OTHER = BACKEND + 1
WELL, UNKNOWN = BackendHealthReport.CONDITION_WELL, BackendHealthReport.CONDITION_UNKNOWN
UNHEALTHY = BackendHealthReport.CONDITION_UNHEALTHY


def asking(version: int = 1, *, check: bool = True) -> Told:
    told = service(version, str(BACKEND), str(OTHER))
    if check:
        told.service.health_check.CopyFrom(
            HealthCheck(protocol=HealthCheck.PROTOCOL_HTTP, port=8080, healthy_after=2, unhealthy_after=2)
        )
    return told


def health_reports(control: ControlPlane) -> Collection[list[BackendHealthReport]]:
    """What was said of the service, one report after another."""
    return [list(report.backends) for call in control.calls for report in call.services if report.service_id == WEB]


async def said(control: ControlPlane, *conditions: int) -> list[BackendHealthReport]:
    """The last report, once its backends are so."""
    reports: list[list[BackendHealthReport]] = []

    def is_so() -> bool:
        reports[:] = health_reports(control)
        return bool(reports) and [each.condition for each in reports[-1]] == list(conditions)

    await eventually(f"a report of {conditions}", is_so)
    return reports[-1]


def check(gateway: Harness, times: int = 1) -> None:
    for _ in range(times):
        gateway.dataplane.check()


async def test_each_transition_is_said_once_and_checks_that_change_nothing_are_not(tmp_path: Path) -> None:
    async with control_plane(lease=0.3) as control:
        await control.tell(*BASE[:2], asking(), endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await said(control, UNKNOWN, UNKNOWN)
            check(gateway)
            await said(control, WELL, WELL)
            gateway.dataplane.kernel.unhealthy[PAYMENTS, OTHER] = Failure.REFUSED
            check(gateway, 2)
            one, other = await said(control, WELL, UNHEALTHY)
            assert (one.takes_sessions, one.error, one.HasField("error_time")) == (True, "", False)
            assert (other.takes_sessions, other.error) == (False, "connection refused at port 8080")
            assert one.median.ToNanoseconds() == 1_000_000
            assert other.since.ToNanoseconds() == other.error_time.ToNanoseconds() > one.since.ToNanoseconds()
            number = len(health_reports(control))
            check(gateway, 5)
            await control.renewed(times=3)
            assert len(health_reports(control)) == number


async def test_that_no_backend_is_well_is_said_once_and_not_of_each_endpoint(tmp_path: Path) -> None:
    async with control_plane(lease=0.3) as control:
        await control.tell(*BASE[:2], asking(), endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            reports = sum(len(call.endpoints) for call in control.calls)
            for address in (BACKEND, OTHER):
                gateway.dataplane.kernel.unhealthy[PAYMENTS, address] = Failure.SILENT
            check(gateway, 2)
            await said(control, UNHEALTHY, UNHEALTHY)
            (web,) = gateway.dataplane.kernel.entries.services()
            assert len(gateway.dataplane.kernel.takers(web)) == 2
            async with gateway.table_service() as shown:
                table = await shown.table(gateway_pb.GetTableRequest.SOURCE_KERNEL)
            (reason,) = [each.difficulty for each in table.entries if each.entry.WhichOneof("entry") == "service"]
            assert reason.startswith(f"none of the backends is well: {BACKEND}: no answer from port 8080 within")
            gateway.dataplane.kernel.unhealthy.clear()
            check(gateway, 2)
            await said(control, WELL, WELL)
            await control.renewed(times=2)
            assert sum(len(call.endpoints) for call in control.calls) == reports


async def test_everything_is_said_again_after_a_join_and_its_end_once(tmp_path: Path) -> None:
    async with control_plane(lease=0.3) as control:
        await control.tell(*BASE[:2], asking(), endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await said(control, UNKNOWN, UNKNOWN)
            check(gateway)
            await said(control, WELL, WELL)
            control.forget()
            await control.joined(2)
            before = len(health_reports(control))
            await eventually("another report", lambda: len(health_reports(control)) > before)
            await said(control, WELL, WELL)
            await control.tell(asking(2, check=False))
            await said(control)
            number = len(health_reports(control))
            await control.renewed(times=2)
            assert len(health_reports(control)) == number


async def test_a_service_that_asks_for_nothing_is_not_spoken_of(tmp_path: Path) -> None:
    async with control_plane(lease=0.3) as control:
        await control.tell(*BASE, endpoint())
        async with agent(control, FakeKernel(), tmp_path) as gateway:
            await control.reported(id_of("1"), FORWARDING)
            check(gateway)
            await control.renewed(times=2)
            assert health_reports(control) == []
            figures = await gateway.agent.figures()
            assert figures.health.checks == {}
