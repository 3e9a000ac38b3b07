"""What an agent shows on its unix socket."""

import socket
import time
from pathlib import Path

import pytest

from services.gateway_agent.dataplane.fake_kernel import FakeKernel
from services.gateway_agent.table import Limits, Timeouts
from sidegate import errors
from sidegate.api.gateway.v1.gateway_service_pb2 import GetTableRequest, GetTableResponse
from sidegate.api.registry.v1.endpoint_service_pb2 import HealthCheck, SessionSettings
from tests.support.agent import (
    BACKEND,
    BASE,
    GATEWAY,
    PAYMENTS,
    SHOP,
    WEB,
    agent,
    endpoint,
    eventually,
    id_of,
    netns,
    service,
)
from tests.support.control_plane import ABSENT, CELL, FORWARDING, HINDERED, Told, control_plane

KERNEL, DESIRED, REPLAY = GetTableRequest.SOURCE_KERNEL, GetTableRequest.SOURCE_DESIRED, GetTableRequest.SOURCE_REPLAY


def shown(table: GetTableResponse) -> list[bytes]:
    return [each.entry.SerializeToString(deterministic=True) for each in table.entries]


def endpoints(table: GetTableResponse) -> set[str]:
    return {each.entry.endpoint.endpoint_id for each in table.entries if each.entry.HasField("endpoint")}


async def test_kernel_desired_and_replayed_tables_are_equal(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"), service(2, "10.0.0.12", "10.0.0.11"), endpoint("2"))
        position = await control.tell(endpoint("1", 2, removed=True))
        async with agent(control, FakeKernel(), tmp_path) as gateway, gateway.table_service() as service_:
            await control.reported(id_of("2"), FORWARDING)
            kernel, desired, replayed = [await service_.table(source) for source in (KERNEL, DESIRED, REPLAY)]
            assert shown(kernel) == shown(desired) == shown(replayed)
            assert {kernel.position, desired.position, replayed.position} == {position}
            assert (kernel.gateway_id, kernel.cell) == (GATEWAY, CELL)
            assert (kernel.events, replayed.events) == (0, position)


async def test_what_a_service_asks_is_in_each_table_and_other_values_take_its_place(tmp_path: Path) -> None:
    def asking(version: int, seconds: int, connections: int) -> Told:
        told = service(version)
        told.service.session_settings.CopyFrom(SessionSettings(udp_one_way_seconds=seconds, reset_expired=True))
        told.service.health_check.CopyFrom(HealthCheck(protocol=HealthCheck.PROTOCOL_HTTP, port=8080, path="/up"))
        told.service.limits.connections = connections
        return told

    async with control_plane() as control:
        await control.tell(*BASE, asking(2, 5, 100), endpoint("1"))
        kernel = FakeKernel()
        async with agent(control, kernel, tmp_path) as gateway, gateway.table_service() as service_:
            await control.reported(id_of("1"), FORWARDING)
            for version, seconds, connections in ((2, 5, 100), (3, 7, 100), (4, 7, 50)):
                await control.tell(asking(version, seconds, connections))
                limits = Limits(connections=connections)
                timeouts = Timeouts(udp_one_way=seconds)

                def put(limits: Limits = limits, timeouts: Timeouts = timeouts) -> bool:
                    entry = kernel.entries.service(WEB)
                    return entry is not None and (entry.limits, entry.timeouts) == (limits, timeouts)

                await eventually("the data plane to have it", put)
                await eventually("all to be in sync", lambda: gateway.agent.reconciler.in_sync)
                kernel_side, desired, replayed = [await service_.table(each) for each in (KERNEL, DESIRED, REPLAY)]
                assert shown(kernel_side) == shown(desired) == shown(replayed)
                (entry,) = [each.entry.service for each in kernel_side.entries if each.entry.HasField("service")]
                assert entry.session_settings.udp_one_way_seconds == seconds
                assert entry.limits.connections == connections
                assert (entry.health_check.path, entry.health_check.interval_seconds) == ("/up", 5)
            await control.tell(service(5))
            await eventually("the usual", lambda: getattr(kernel.entries.service(WEB), "timeouts", None) == Timeouts())
            (entry,) = [
                each.entry.service for each in (await service_.table(KERNEL)).entries if each.entry.HasField("service")
            ]
            assert not any(entry.HasField(name) for name in ("session_settings", "health_check", "limits"))


async def test_a_table_shows_attachments_then_services_then_endpoints(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"))
        async with agent(control, FakeKernel(), tmp_path) as gateway, gateway.table_service() as service_:
            await control.reported(id_of("1"), FORWARDING)
            entries = [each.entry for each in (await service_.table(KERNEL)).entries]
            assert [entry.WhichOneof("entry") for entry in entries] == [
                "attachment",
                "attachment",
                "service",
                "endpoint",
            ]
            assert [entry.attachment.vpc_id for entry in entries[:2]] == sorted([SHOP, PAYMENTS])
            assert entries[0].attachment.netns.device == "sidegate0"
            assert entries[2].service.service_id == WEB
            assert entries[3].endpoint.sources[0].gateway_id == GATEWAY


async def test_the_table_of_any_position_and_any_moment_can_be_replayed(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, at=1000)
        then = await control.tell(endpoint("1"), at=2000)
        await control.tell(endpoint("1", 2, removed=True), at=3000)
        await control.tell(endpoint("2"), at=4000)
        async with agent(control, FakeKernel(), tmp_path) as gateway, gateway.table_service() as service_:
            at_position = await service_.table(REPLAY, position=then)
            assert (endpoints(at_position), at_position.position, at_position.events) == ({id_of("1")}, then, 4)
            elsewhere = await control.tell_elsewhere()
            assert (await service_.table(REPLAY, position=elsewhere)).position == elsewhere
            assert endpoints(await service_.table(REPLAY, at=2999)) == {id_of("1")}
            assert endpoints(await service_.table(REPLAY, at=3000)) == set()
            assert endpoints(await service_.table(REPLAY, at=4000)) == {id_of("2")}
            assert len((await service_.table(REPLAY, at=1)).entries) == 0


async def test_a_replay_without_the_control_plane_says_what_is_missing(tmp_path: Path) -> None:
    async with control_plane() as control, agent(control, FakeKernel(), tmp_path) as gateway:
        await control.joined(1)
        await control.stop()
        async with gateway.table_service() as service_:
            with pytest.raises(errors.Unavailable, match="the log cannot be read: no answer from"):
                await service_.table(REPLAY)


async def test_an_entry_shows_the_operator_what_hinders_it(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"))
        async with agent(control, FakeKernel(), tmp_path) as gateway, gateway.table_service() as service_:
            await control.reported(id_of("1"), FORWARDING)
            gateway.dataplane.silence(PAYMENTS, BACKEND)
            await control.reported(id_of("1"), HINDERED)
            difficulties = [each.difficulty for each in (await service_.table(KERNEL)).entries if each.difficulty]
            assert difficulties == [f"backend {BACKEND} does not answer"]


async def test_the_status_tells_how_far_the_agent_is(tmp_path: Path) -> None:
    before = time.time_ns()
    async with control_plane() as control:
        position = await control.tell(*BASE, endpoint("1"))
        async with agent(control, FakeKernel(), tmp_path) as gateway, gateway.table_service() as service_:
            await control.reported(id_of("1"), FORWARDING)
            assert await gateway.dataplane.forwards()
            status = await service_.status()
            assert (status.gateway_id, status.cell, status.position, status.in_sync) == (GATEWAY, CELL, position, True)
            assert status.counters["forwarded"] == 1
            assert before < status.heard_time.ToNanoseconds() < time.time_ns()


async def test_an_agent_with_a_failed_entry_is_not_in_sync(tmp_path: Path) -> None:
    kernel = FakeKernel()
    kernel.missing.add(netns("shop"))
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"))
        async with agent(control, kernel, tmp_path) as gateway, gateway.table_service() as service_:
            await control.reported(id_of("1"), HINDERED)
            assert not (await service_.status()).in_sync
            (withheld,) = (await service_.table(KERNEL)).withheld
            assert withheld.entry.attachment.vpc_id == SHOP
            assert withheld.difficulty == "device sidegate0 in network namespace shop is not there"
            gateway.dataplane.restore(netns("shop"))
            await control.reported(id_of("1"), FORWARDING)
            await eventually("all to be in sync", lambda: gateway.agent.reconciler.in_sync)


async def test_the_socket_is_for_root_alone_and_one_left_behind_is_replaced(tmp_path: Path) -> None:
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(str(tmp_path / "gateway.sock"))
    left_behind.close()
    async with (
        control_plane() as control,
        agent(control, FakeKernel(), tmp_path) as gateway,
        gateway.table_service() as service_,
    ):
        assert (await service_.status()).gateway_id == GATEWAY
        assert gateway.socket.stat().st_mode & 0o777 == 0o600


async def test_a_removed_endpoint_is_in_no_table(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1", 3, removed=True))
        async with agent(control, FakeKernel(), tmp_path) as gateway, gateway.table_service() as service_:
            await control.reported(id_of("1"), ABSENT)
            assert [endpoints(await service_.table(source)) for source in (KERNEL, DESIRED, REPLAY)] == [set()] * 3
