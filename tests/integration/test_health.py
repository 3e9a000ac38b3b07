"""Health that is true: what a program says of itself when its database goes away, and before it has begun."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from structlog.testing import capture_logs

from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import Unavailable
from services.common.rpc.health import Health, StoreHealth
from services.common.rpc.probe import is_healthy
from services.common.rpc.server import LIVENESS, READINESS, RpcServer
from services.gateway_agent.dataplane.fake_kernel import FakeKernel
from services.gateway_agent.table import Kind
from tests.integration.test_agent_safety import Clock
from tests.support import identity, postgres
from tests.support.agent import BASE, Recorded, agent, endpoint, id_of
from tests.support.control_plane import HINDERED, control_plane
from tests.support.disk import files_limited_to
from tests.support.stores import an_append

STATUS = health_pb2.HealthCheckResponse
BOUND_SECONDS = 15.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = await SqlStore.open(tmp_path / "log.sqlite")
    try:
        yield opened
    finally:
        await opened.close()


async def check(address: str, service: str = "") -> int:
    opened = grpc.aio.insecure_channel(address) if address.startswith("unix:") else identity.channel(address)
    async with opened as channel:
        ask = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=STATUS.FromString,
        )
        answer = await ask(health_pb2.HealthCheckRequest(service=service), timeout=5)
        return int(answer.status)


def refuse_one(self: Recorded, kernel: FakeKernel) -> None:
    Recorded.__init__(self, kernel)
    self.refused.add(id_of("1"))


async def becomes(address: str, status: int) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        while await check(address) != status:
            await asyncio.sleep(0.02)


async def test_a_database_that_cannot_be_written_to_is_not_healthy_until_it_can_be_again(store: SqlStore) -> None:
    server = RpcServer(identity.public(), [])
    address = await server.start(serving=False)
    assert await check(address) == STATUS.NOT_SERVING, "it is starting"
    health = Health(server, [StoreHealth(store, proof_every=0).difficulty])
    watching = asyncio.create_task(health.run())
    try:
        await becomes(address, STATUS.SERVING)
        assert await asyncio.to_thread(is_healthy, address, ca=identity.ca())
        with capture_logs() as said, files_limited_to(0):  # nobody writes: a proof finds it out
            await becomes(address, STATUS.NOT_SERVING)
            assert "cannot be written" in health.difficulties[0]
            assert said[-1]["event"] == "not serving"
            assert await check(address, READINESS) == STATUS.NOT_SERVING
            assert await check(address, LIVENESS) == STATUS.SERVING
        await becomes(address, STATUS.SERVING)
        assert health.difficulties == []
    finally:
        watching.cancel()
        await server.stop(0)


async def test_a_postgres_that_is_away_is_not_healthy_until_it_is_back() -> None:
    database = postgres.shared()
    with postgres.schema() as where:
        store = await SqlStore.open(where)
        health = StoreHealth(store, proof_every=0)
        try:
            assert await health.difficulty() == ""
            database.stop()
            assert "cannot be written" in await health.difficulty()
            database.start()
            async with asyncio.timeout(BOUND_SECONDS):
                while await health.difficulty():
                    await asyncio.sleep(0.02)
            assert not store.failing
        finally:
            await health.close()
            await store.close()


async def test_a_commit_that_failed_tells_before_any_proof_is_due(store: SqlStore) -> None:
    health = StoreHealth(store, proof_every=3600)
    assert await health.difficulty() == ""
    with files_limited_to(0):
        with pytest.raises(Unavailable):
            await store.append(an_append())
        assert "cannot be written" in await health.difficulty()
    await store.append(an_append())
    assert await health.difficulty() == ""


async def test_a_database_that_hangs_is_asked_once_and_not_waited_for() -> None:
    class Hanging:
        failing, position, asked = False, 7, 0

        async def prove_writable(self) -> None:
            self.asked += 1
            await asyncio.Event().wait()

    hanging = Hanging()
    health = StoreHealth(hanging, proof_every=0)
    assert [await health.difficulty() for _ in range(2)] == ["the database does not answer"] * 2
    assert hanging.asked == 1
    await health.close()


async def test_a_program_that_drains_says_so_to_those_who_watch() -> None:
    server = RpcServer(identity.public(), [])
    address = await server.start()
    async with identity.channel(address) as channel:
        watch: Any = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=STATUS.FromString,
        )(health_pb2.HealthCheckRequest(), timeout=BOUND_SECONDS)
        assert (await watch.read()).status == STATUS.SERVING
        stopping = asyncio.create_task(server.stop(1))
        assert (await watch.read()).status == STATUS.NOT_SERVING
        watch.cancel()
        await stopping


async def test_a_gateway_is_ready_once_its_table_is_in_the_kernel_and_until_it_may_not_forward(tmp_path: Path) -> None:
    clock = Clock()
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"))
        control.may_send.clear()
        async with agent(control, FakeKernel(), tmp_path, clock=clock) as gateway:
            address = f"unix:{gateway.socket}"
            await control.asked_for_snapshot.wait()
            assert await check(address) == STATUS.NOT_SERVING, "the table is yet to come"
            assert await check(address, LIVENESS) == STATUS.SERVING
            control.may_send.set()
            await becomes(address, STATUS.SERVING)
            await control.stop()
            await gateway.agent.health.look()
            assert await check(address) == STATUS.SERVING, "it forwards what it has heard of"
            clock.seconds += control.fence_after + 1
            await becomes(address, STATUS.NOT_SERVING)
            assert "stopped" in gateway.agent.health.difficulties[0]
            assert await check(address, LIVENESS) == STATUS.SERVING


async def test_what_one_tenant_has_not_set_up_does_not_make_the_gateway_unready(tmp_path: Path) -> None:
    async with control_plane() as control:
        await control.tell(*BASE, endpoint("1"))
        refusing = type("Refusing", (Recorded,), {"__init__": refuse_one})
        async with agent(control, FakeKernel(), tmp_path, dataplane=refusing) as gateway:
            await gateway.agent.serving.wait()
            await becomes(f"unix:{gateway.socket}", STATUS.SERVING)
            await control.reported(id_of("1"), HINDERED)
            figures = await gateway.agent.figures()
            assert figures.difficulties[Kind.ENDPOINT] == 1
            assert not figures.in_sync
