"""PROXY protocol through the whole system: published by port, told by a gateway's HAProxy, read by a backend."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService, PortMapping
from tests.support import namespaces
from tests.support.hosts import TcpClient
from tests.support.proxy_protocol import ToldServer
from tests.support.standalone import Standalone, require_root, until
from tests.support.world import MACHINE, Site, eventually_answers, machine, site, tcp

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]

TOLD = PortMapping(
    client_port=443,
    server_port=8443,
    protocol=PortMapping.PROTOCOL_TCP,
    client_identity=EndpointService.CLIENT_IDENTITY_PROXY_PROTOCOL,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidegate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standalone]:
    require_root()
    async with Standalone(tmp_path_factory.mktemp("sidegate")) as running:
        yield running


@contextlib.asynccontextmanager
async def sites(sidegate: Standalone, *accounts: str) -> AsyncIterator[list[Site]]:
    async with contextlib.AsyncExitStack() as stack:
        spaces = stack.enter_context(namespaces.make(*accounts))
        pairs = zip(accounts, spaces, strict=True)
        yield [await stack.enter_async_context(site(sidegate, account, space)) for account, space in pairs]


async def connected(consumer: Site, provider: Site, service: EndpointService) -> Endpoint:
    await provider.client.services.permit(service.id, [f"iam:domain::{consumer.account}"])
    return await consumer.accepted(await consumer.request(service))


async def connect(consumer: Site, endpoint: Endpoint) -> TcpClient:
    """At once: what is accepted passes packets."""
    made = await TcpClient.connect(consumer.namespace, endpoint.address, 443, source=MACHINE)
    assert made, "an accepted endpoint does not pass packets"
    return made


def annexes() -> Iterator[Path]:
    return Path("/run/netns").glob("sidegate-annex-*")


async def test_a_backend_is_told_who_clients_are_by_a_port_that_says_so_and_a_rejection_ends_it(
    sidegate: Standalone,
) -> None:
    async with sites(sidegate, "shop", "mall", "payments") as (shop, mall, payments):
        server = await _serving(sidegate, payments)
        async with server as told, machine(payments.namespace, "plain"):
            service = await payments.publish("web", TOLD, tcp(80, 8080), approval=False)
            endpoints = [await connected(consumer, payments, service) for consumer in (shop, mall)]
            for consumer, endpoint in zip((shop, mall), endpoints, strict=True):
                client = await connect(consumer, endpoint)
                assert await client.echoes()
                header = told.told[-1]
                assert (str(header.client), str(header.address), header.port) == (MACHINE, endpoint.address, 443)
                who = f"marker={endpoint.marker_id};endpoint={endpoint.id};vpc={consumer.vpc_id}"
                assert header.unique_id == who
                assert await eventually_answers(consumer.namespace, endpoint.address, 80) == "plain"
                await client.close()
            await _counted_once(sidegate, endpoints[0])
            await _goes_on_after_a_kill(sidegate, shop, endpoints[0])
            client = await connect(shop, endpoints[0])
            await payments.client.connections.reject(service.id, endpoints[0].id)
            await until("the connection to be cut", lambda: _is_cut(client))
            await client.close()
            await until("the annex that nobody needs to go", lambda: _has_no_annex(sidegate, shop))
            assert f"annex of VPC {mall.vpc_id}" in sidegate.cli("gateway", "show").stdout
            log = (sidegate.data / "logs" / "gateway.log").read_text()
            assert "is without its proxy" not in log, "what goes on purpose is no fault"


async def _serving(sidegate: Standalone, payments: Site) -> contextlib.AbstractAsyncContextManager[ToldServer]:
    return ToldServer.serving("told", payments.namespace, MACHINE, 8443)


async def _counted_once(sidegate: Standalone, endpoint: Endpoint) -> None:
    async with sidegate.client("operator") as operator:
        traffic = await operator.gateway.traffic()
    shown = {each.endpoint_id: each for each in traffic.endpoints}
    assert len(shown) == 2, "a proxy's own endpoint is nobody's"
    assert shown[endpoint.id].traffic.sessions_made == 2  # one to each port


async def _goes_on_after_a_kill(sidegate: Standalone, shop: Site, endpoint: Endpoint) -> None:
    before, after = await connect(shop, endpoint), None
    await sidegate.kill_program("gateway")
    assert await before.echoes()
    after = await connect(shop, endpoint)
    assert await after.echoes()
    for each in (before, after):
        await each.close()


async def _has_no_annex(sidegate: Standalone, consumer: Site) -> bool:
    """It goes after the endpoint and its proxy."""
    shown = await asyncio.to_thread(sidegate.cli, "gateway", "show")
    assert shown.returncode == 0, shown.stderr
    return f"annex of VPC {consumer.vpc_id}" not in shown.stdout


async def _is_cut(client: TcpClient) -> bool:
    return not await client.echoes(patience=0.3)


async def test_a_backend_that_speaks_no_proxy_protocol_is_found_out_in_words_for_each_side(
    sidegate: Standalone,
) -> None:
    async with sites(sidegate, "store", "bank") as (store, bank), machine(bank.namespace, "plain"):
        mapping = PortMapping(client_port=443, server_port=8080, client_identity=TOLD.client_identity)
        service = await bank.publish("old", mapping, approval=False)
        endpoint = await connected(store, bank, service)
        test = partial(asyncio.to_thread, sidegate.cli)  # the backend is served by this event loop
        heard = await test("endpoint", "test", endpoint.id, account="store")
        assert heard.returncode != 0
        assert "ended the connection when it was told of the client: its owner must put that right" in heard.stdout
        assert "PROXY" not in heard.stdout
        told = await test("connection", "test", service.id, endpoint.id, account="bank")
        assert "does not speak the PROXY protocol" in told.stdout
        assert "publish the port with another client identity" in told.stdout
