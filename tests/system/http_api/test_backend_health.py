"""Health checks through the whole of Sidegate: asked for by the owner, made by the gateway, read by both sides."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from sidegate.api.endpoint.v1.backend_health_pb2 import BackendHealth
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService, HealthCheck
from tests.support import namespaces
from tests.support.standalone import Standalone, until
from tests.support.world import MACHINE, Site, call, machine, site, tcp

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="package")]

SECOND_MACHINE = "10.0.0.11"
CHECK = HealthCheck(
    protocol=HealthCheck.PROTOCOL_TCP,
    port=9000,
    interval_seconds=1,
    timeout_seconds=1,
    healthy_after=1,
    unhealthy_after=1,
)
WELL, UNHEALTHY = BackendHealth.CONDITION_WELL, BackendHealth.CONDITION_UNHEALTHY


@dataclass
class Scene:
    sidegate: Standalone
    shop: Site
    payments: Site
    service: EndpointService
    endpoint: Endpoint

    async def health(self) -> list[BackendHealth]:
        found = await self.payments.client.connections.health(self.service.id)
        assert self.endpoint.address not in str(found)
        return [backend for gateway in found.gateways for backend in gateway.backends]

    async def becomes(self, *conditions: BackendHealth.Condition.ValueType) -> list[BackendHealth]:
        async def is_so() -> list[BackendHealth]:
            found = await self.health()
            return found if [each.condition for each in found] == list(conditions) else []

        return await until(f"conditions {conditions}", is_so)

    async def consumer_is_told(self, *expected: bool | str) -> None:
        """Of a report, what it says of backends is taken in before what it says of endpoints."""

        async def told() -> bool:
            shown = await self.shop.client.endpoints.get(self.endpoint.id)
            assert SECOND_MACHINE not in str(shown)
            assert "9000" not in str(shown)
            assert "backends {" not in str(shown), "how many there are is the owner's"
            return (shown.ready.status, shown.ready.reason) == expected

        await until(f"the consumer to be told {expected}", told)

    async def names(self) -> set[str]:
        """Who answers; of two one is missed once in 2^15 times."""
        found = set()
        for _ in range(16):
            conversation = await call(self.shop.namespace, self.endpoint.address, 80, patience=5.0)
            assert conversation is not None
            found.add(conversation.name)
            conversation.close()
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def scene(sidegate: Standalone) -> AsyncIterator[Scene]:
    async with contextlib.AsyncExitStack() as stack:
        pair = stack.enter_context(namespaces.make("patron", "clinic"))
        shop, payments = [
            await stack.enter_async_context(site(sidegate, account, namespace))
            for account, namespace in zip(("patron", "clinic"), pair, strict=True)
        ]
        payments.namespace.add_address(f"{SECOND_MACHINE}/24")
        for name, address in (("one", MACHINE), ("other", SECOND_MACHINE)):
            await stack.enter_async_context(machine(payments.namespace, name, address=address))
        backends = [Backend(address=MACHINE), Backend(address=SECOND_MACHINE)]
        service = await payments.client.services.create(
            "web", payments.vpc_id, backends, [tcp(80, 8080)], health_check=CHECK
        )
        await payments.client.services.permit(service.id, ["iam:domain::patron"])
        endpoint = await shop.accepted(await shop.request(service, "10.0.0.78"))
        yield Scene(sidegate, shop, payments, service, endpoint)


async def test_sessions_keep_away_from_a_backend_that_fails_and_come_back(scene: Scene) -> None:
    namespace = scene.payments.namespace
    async with machine(namespace, "health", 9000):
        async with machine(namespace, "health", 9000, SECOND_MACHINE):
            await scene.becomes(WELL, WELL)
            await scene.consumer_is_told(True, "")
            assert await scene.names() == {"one", "other"}
        _, failing = await scene.becomes(WELL, UNHEALTHY)
        assert failing.last_error == "connection refused at port 9000"
        assert not failing.takes_sessions
        await scene.consumer_is_told(True, "")
        assert await scene.names() == {"one"}
        async with machine(namespace, "health", 9000, SECOND_MACHINE):
            await scene.becomes(WELL, WELL)
            assert await scene.names() == {"one", "other"}


async def test_where_none_is_well_sessions_go_on_and_both_sides_are_told_so(scene: Scene) -> None:
    await scene.becomes(UNHEALTHY, UNHEALTHY)
    assert await scene.names() == {"one", "other"}
    await scene.consumer_is_told(False, "backends of the service fail their health checks")
    done = scene.sidegate.cli("service", "health", "web", account="clinic")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "connection refused at port 9000" in done.stdout
    told = scene.sidegate.cli("endpoint", "get", scene.endpoint.id, account="patron")
    assert "no: backends of the service fail their health checks" in told.stdout


async def test_another_account_reads_nothing(scene: Scene) -> None:
    done = scene.sidegate.cli("service", "health", scene.service.id, "-o", "json", account="patron")
    assert json.loads(done.stdout) == {"service_id": scene.service.id, "gateways": []}
