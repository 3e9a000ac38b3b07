"""Gateway-type endpoints through the whole system: a client uses the service's ordinary address, and a policy holds."""

import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.endpoint.v1.packet_trace_pb2 import Opening
from sidegate.api.gateway.v1.gateway_service_pb2 import GetTableRequest
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, EndpointService
from sidegate.cli.comparison import differences
from tests.support import namespaces
from tests.support.namespaces import Namespace
from tests.support.standalone import Standalone, require_root, until
from tests.support.world import Conversation, Site, call, eventually_answers, machine, site, tcp, who_answers

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]

PREFIX, INSIDE, DENIED, IN_DENIED = "100.125.0.0/16", "100.125.7.9", "100.125.8.0/21", "100.125.9.1"
ALLOW_ALL = {"Effect": "Allow", "Action": ["*"], "Resource": ["*"]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    require_root()
    async with Standalone(tmp_path_factory.mktemp("sidegate")) as running:
        yield running


def denying(*resources: str) -> str:
    denied = {"Effect": "Deny", "Action": ["sidegate:Connect"], "Resource": list(resources)}
    return json.dumps({"Statement": [ALLOW_ALL, denied]})


async def publish(cloud: Site) -> EndpointService:
    return await cloud.client.services.create(
        "store",
        cloud.vpc_id,
        [Backend(address="10.0.0.10")],
        [tcp(80, 8080), tcp(81, 8080)],
        service_type=EndpointService.SERVICE_TYPE_GATEWAY,
        server_type=EndpointService.SERVER_TYPE_CLOUD,
        public_prefixes=[PREFIX],
    )


def knows_a_way(inside: Namespace) -> bool:
    return PREFIX in inside.ip("route", "show", "dev", namespaces.DEVICE)


async def test_a_client_uses_the_services_ordinary_address_and_the_policy_holds(sidegate: Standalone) -> None:
    async with contextlib.AsyncExitStack() as stack:
        shop, cloud = stack.enter_context(namespaces.make("shop", "cloud"))
        anna = await stack.enter_async_context(site(sidegate, "anna", shop))
        theirs = await stack.enter_async_context(site(sidegate, "operator", cloud))
        sources = await stack.enter_async_context(machine(cloud, "store"))
        service = await publish(theirs)
        endpoint = await anna.accepted(await anna.client.endpoints.create(service.id, vpc_id=anna.vpc_id))
        for address in (PREFIX.partition("/")[0], INSIDE, IN_DENIED):
            assert await eventually_answers(shop, address, 80) == "store"
        assert {source.startswith("198.19.") for source in sources} == {True}
        assert knows_a_way(shop)
        assert await who_answers(shop, "100.126.0.1", 80) is None
        assert (await anna.client.endpoints.test(endpoint.id)).reachable

        stays, other_port, goes = [await call(shop, *to) for to in ((INSIDE, 80), (INSIDE, 81), (IN_DENIED, 80))]
        assert stays and other_port and goes
        await anna.client.endpoints.update(endpoint.id, policy=denying(DENIED, "tcp/81"))
        await until("the policy to hold", lambda: is_refused(shop, IN_DENIED, 80))
        assert await stays.goes_on()
        await until("the conversation with what is denied to end", lambda: falls_silent(goes))
        await until("the conversation with the port that is denied to end", lambda: falls_silent(other_port))
        await until("the port to be denied", lambda: is_refused(shop, INSIDE, 81))
        assert await who_answers(shop, INSIDE, 80) == "store"
        await is_told(sidegate, endpoint)

        await anna.client.endpoints.delete(endpoint.id)
        await until("the endpoint to be gone", lambda: is_refused(shop, INSIDE, 80))
        await until("the conversation to end", lambda: falls_silent(stays))
        await until("the way there to be gone", lambda: knows_no_way(shop))
        for each in (stays, other_port, goes):
            each.close()


async def knows_no_way(inside: Namespace) -> bool:
    return not knows_a_way(inside)


async def falls_silent(conversation: Conversation) -> bool:
    return not await conversation.goes_on(0.2)


async def is_refused(inside: Namespace, address: str, port: int) -> bool:
    return await who_answers(inside, address, port) is None


async def is_told(sidegate: Standalone, endpoint: Endpoint) -> None:
    """To the operator and to the owner, what becomes of packets; and the table is what the log says, and the kernel."""
    asked = "gateway", "trace", "--endpoint", endpoint.id, "--from", "10.0.0.10", "--to-port", "80"
    denied = sidegate.cli(*asked, "--to", IN_DENIED)
    assert denied.returncode == 1
    assert f"{DENIED} has {IN_DENIED}: route" in " ".join(denied.stdout.split())
    assert "refused_denied" in denied.stdout
    async with sidegate.client("operator") as operator, sidegate.client("anna") as anna:
        (passing,) = (await operator.traces.packet(endpoint.id, Opening(source="10.0.0.10", port=80))).traces
        assert (passing.trace.verdict, passing.trace.address) == ("forwarded", "100.125.0.0")
        told = await anna.traces.endpoint(endpoint.id, Opening(source="10.0.0.10", port=80, destination=IN_DENIED))
        assert f"its policy denies tcp port 80 of {IN_DENIED}" in [step.message for step in told.steps]
        kernel, replayed = [
            await operator.gateway.table(source)
            for source in (GetTableRequest.SOURCE_KERNEL, GetTableRequest.SOURCE_REPLAY)
        ]
        assert not differences(replayed, kernel)
        (there,) = [each.entry.endpoint for each in kernel.entries if each.entry.HasField("endpoint")]
        assert (PREFIX, False) in [(route.prefix, route.denied) for route in there.routes]
