"""Backends that are told by a PROXY header who a client is: real HAProxy in annexes, real packets."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from ipaddress import IPv4Network, ip_address
from pathlib import Path

import pytest

from services.gateway_agent.annexes import Expanded, expanded
from services.gateway_agent.dataplane.haproxy import Haproxies, find_haproxy, wait_for
from services.gateway_agent.flows import FULL
from services.gateway_agent.packet_trace import Opening
from services.gateway_agent.table import (
    Affinity,
    ClientIdentity,
    Endpoint,
    PortMapping,
    Protocol,
    Remove,
    Route,
    Service,
    everybody,
    seen_as,
)
from tests.support import tables
from tests.support.proxy_protocol import ToldServer, get, haproxy_backend
from tests.support.worlds import PATIENCE, Conversation, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, BACKEND, ENDPOINT = "10.0.0.10", "10.0.0.20", "10.0.0.100"
CLIENT6, BACKEND6, ENDPOINT6 = "fd00:a::10", "fd00:a::20", "fd00:a::100"
TOLD = PortMapping(443, 8443, Protocol.TCP, ClientIdentity.PROXY)
TOA = PortMapping(80, 8080, Protocol.TCP, ClientIdentity.TOA)
DNS = PortMapping(53, 5353, Protocol.UDP)


class Proxying:
    """A gateway whose annexes have HAProxies, as an agent would have them."""

    def __init__(self, world: KernelWorld, directory: Path) -> None:
        self.world = world
        self.haproxies = Haproxies(world.gateway_id, directory)
        self.pids: dict[str, int] = {}
        self._made: dict[str, Expanded] = {}
        self._stack = AsyncExitStack()

    async def lead(self, endpoint: Endpoint, service: Service) -> Expanded:
        """The endpoint is put with all that it takes."""
        made = self._made[endpoint.id] = expanded(endpoint, service)
        await self.world.put(*(each for each in (made.annex(),) if each))
        await self.world.put(*made.entries)
        await self.tell(made.vpc)
        return made

    async def tell(self, vpc: str) -> None:
        known = [each.proxied for each in self._made.values() if each.proxied and each.vpc == vpc]
        self.pids[vpc] = await asyncio.to_thread(self.haproxies.put, vpc, known)

    async def reject(self, made: Expanded) -> None:
        """As an agent does: the kernel first."""
        for entry in reversed(made.entries):
            await self.world.dataplane.apply(Remove(entry.key))
        assert made.proxied
        del self._made[made.proxied.endpoint]

    def knows(self, made: Expanded) -> bool:
        return made in self._made.values()

    async def serve(self, name: str, vpc: Vpc, address: str, port: int = 8443) -> ToldServer:
        return await self._stack.enter_async_context(
            ToldServer.serving(name, self.world.namespace(vpc, address), address, port)
        )

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def proxying(world: KernelWorld, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxying]:
    assert find_haproxy(), "this test needs HAProxy: make setup-test"
    world.ipv6 = True
    made = Proxying(world, tmp_path_factory.mktemp("run") / "annexes")
    try:
        yield made
    finally:
        await made.close()


def endpoint(vpc: Vpc, service: Service, number: int = 1, address: str = ENDPOINT) -> Endpoint:
    made = tables.endpoint(number, vpc.id, service.id, id_=f"{number:08}-0000-4000-8000-000000000000")
    version = 6 if ":" in address else 4
    own = ip_address(address)
    return replace(made, address=own, allowed=everybody(version))


async def published(proxying: Proxying, backend: str = BACKEND, *ports: PortMapping) -> tuple[Vpc, Service]:
    vpc = await proxying.world.vpc("payments", backend)
    return vpc, await proxying.world.publish(vpc, backend, ports=ports or (TOLD,))


@pytest.mark.parametrize(
    ("client", "backend", "address"), [(CLIENT, BACKEND, ENDPOINT), (CLIENT6, BACKEND6, ENDPOINT6)], ids=["4", "6"]
)
async def test_a_backend_reads_who_a_client_is_though_two_vpcs_have_clients_with_one_address(
    proxying: Proxying, client: str, backend: str, address: str
) -> None:
    world = proxying.world
    payments, service = await published(proxying, backend)
    server = await proxying.serve("payments", payments, backend)
    for number, label in enumerate(("shop", "other"), 1):
        vpc = await world.vpc(label, client)
        mine = endpoint(vpc, service, number, address)
        await proxying.lead(mine, service)
        conversation = await world.connect(vpc, client, address, 443, source_port=40443)
        assert conversation
        assert await conversation.echoes()
        (told,) = server.told[number - 1 :]
        assert (str(told.client), told.client_port) == (client, 40443)
        assert (str(told.address), told.port) == (address, 443)
        assert told.unique_id == f"marker={number};endpoint={mine.id};vpc={vpc.id}"
        assert server.peers[-1] == seen_as(mine.source_address, mine.address.version)
    assert (len(server.told), server.refused) == (2, [])


async def test_haproxy_understands_it_as_a_backend(
    proxying: Proxying, tmp_path_factory: pytest.TempPathFactory
) -> None:
    payments, service = await published(proxying)
    shop = await proxying.world.vpc("shop", CLIENT)
    mine = endpoint(shop, service)
    await proxying.lead(mine, service)
    with haproxy_backend(proxying.world.namespace(payments), BACKEND, 8443, tmp_path_factory.mktemp("backend")):
        client, port, address, unique_id = (await get(proxying.world.namespace(shop), CLIENT, ENDPOINT, 443)).split()
    assert (client, address, unique_id) == (CLIENT, ENDPOINT, f"marker=1;endpoint={mine.id};vpc={shop.id}")
    assert int(port)


async def test_ports_that_tell_and_ports_that_do_not_are_those_of_one_endpoint(proxying: Proxying) -> None:
    world = proxying.world
    payments, service = await published(proxying, BACKEND, TOLD, TOA, DNS)
    shop = await world.vpc("shop", CLIENT)
    mine = endpoint(shop, service)
    await proxying.lead(mine, service)
    server = await proxying.serve("told", payments, BACKEND)
    await world.serve(payments, BACKEND, 8080, "plain")
    await world.serve(payments, BACKEND, 5353, "dns", Protocol.UDP)
    names = []
    for port, protocol in ((443, Protocol.TCP), (80, Protocol.TCP), (53, Protocol.UDP)):
        conversation = await world.reaches(shop, CLIENT, ENDPOINT, port, protocol)
        assert await conversation.echoes()
        names.append((conversation.backend, str(conversation.seen_as)))
    source = str(mine.source_address)
    assert names == [("told", CLIENT), ("plain", source), ("dns", source)]
    assert [str(each) for each in server.peers] == [source]
    assert await world.refuses(shop, CLIENT, ENDPOINT, 8443)


async def told_conversation(proxying: Proxying) -> tuple[Vpc, Service, Expanded, Conversation]:
    payments, service = await published(proxying)
    await proxying.serve("told", payments, BACKEND)
    shop = await proxying.world.vpc("shop", CLIENT)
    made = await proxying.lead(endpoint(shop, service), service)
    conversation = await proxying.world.reaches(shop, CLIENT, ENDPOINT, 443)
    assert await conversation.echoes()
    return shop, service, made, conversation


async def test_open_connections_go_on_when_the_agent_restarts_and_when_haproxy_is_reloaded(proxying: Proxying) -> None:
    shop, service, _, conversation = await told_conversation(proxying)
    first = proxying.pids[shop.id]
    await proxying.world.restart()
    assert await conversation.echoes()
    more = replace(service, ports=(TOLD, replace(TOLD, client_port=444)))
    await proxying.world.put(more)
    await proxying.lead(endpoint(shop, more), more)
    assert proxying.pids[shop.id] != first
    assert not wait_for(first, 0.0), "it has a connection still"
    assert await conversation.echoes()
    assert await (await proxying.world.reaches(shop, CLIENT, ENDPOINT, 444)).echoes()
    await conversation.close()
    assert await asyncio.to_thread(wait_for, first, PATIENCE)


async def test_a_rejection_cuts_both_sides_at_once_and_the_next_admission_begins_anew(proxying: Proxying) -> None:
    shop, service, made, conversation = await told_conversation(proxying)
    await proxying.reject(made)
    assert await conversation.is_cut()
    assert await proxying.world.refuses(shop, CLIENT, ENDPOINT, 443)
    await proxying.lead(replace(endpoint(shop, service), admission=2), service)
    assert await conversation.is_cut()
    assert await (await proxying.world.reaches(shop, CLIENT, ENDPOINT, 443)).echoes()


async def test_nothing_passes_on_a_port_that_tells_while_there_is_no_proxy(proxying: Proxying) -> None:
    world = proxying.world
    payments, service = await published(proxying, BACKEND, TOLD, TOA)
    await world.serve(payments, BACKEND, 8080, "plain")
    server = await proxying.serve("told", payments, BACKEND)
    shop = await world.vpc("shop", CLIENT)
    await proxying.lead(endpoint(shop, service), service)
    os.kill(proxying.pids[shop.id], signal.SIGKILL)
    assert wait_for(proxying.pids[shop.id], PATIENCE)
    assert await world.refuses(shop, CLIENT, ENDPOINT, 443)
    assert await (await world.reaches(shop, CLIENT, ENDPOINT, 80)).echoes()
    await proxying.tell(shop.id)
    assert await (await world.reaches(shop, CLIENT, ENDPOINT, 443)).echoes()
    assert len(server.told) == 1


async def test_a_service_with_affinity_keeps_a_clients_backend_though_a_proxy_connects(proxying: Proxying) -> None:
    world, clients = proxying.world, [f"10.0.0.{number}" for number in range(10, 18)]
    payments = await world.vpc("payments", BACKEND, "10.0.0.21")
    service = replace(
        await world.publish(payments, BACKEND, "10.0.0.21", ports=(TOLD,)), affinity=Affinity.SOURCE_ADDRESS
    )
    await world.put(service)
    for address in (BACKEND, "10.0.0.21"):
        await proxying.serve(address, payments, address)
    shop = await world.vpc("shop", *clients)
    await proxying.lead(endpoint(shop, service), service)
    chosen: dict[str, str] = {}
    for client in clients * 3:
        conversation = await world.reaches(shop, client, ENDPOINT, 443)
        assert chosen.setdefault(client, conversation.backend) == conversation.backend
        await conversation.close()
    assert set(chosen.values()) == {BACKEND, "10.0.0.21"}


async def test_one_flow_is_told_of_a_proxied_session_and_none_of_what_the_proxy_makes_of_it(proxying: Proxying) -> None:
    dataplane = proxying.world.dataplane
    dataplane.sample_flows(FULL)
    shop, _, made, conversation = await told_conversation(proxying)
    await conversation.close()
    async with asyncio.timeout(PATIENCE), aclosing(dataplane.flows()) as flows:
        reading = asyncio.ensure_future(anext(flows))
        while not reading.done():
            await proxying.reject(made) if proxying.knows(made) else await dataplane.collect()
            await asyncio.sleep(0.02)
        record = reading.result()
        assert (record.vpc, str(record.client), record.port) == (shop.id, CLIENT, 443)
        more = asyncio.ensure_future(anext(flows))
        await dataplane.collect()
        done, _ = await asyncio.wait([more], timeout=0.3)
        assert not done
        more.cancel()
        await asyncio.wait([more])
    assert dataplane.lost_flows() == 0


async def test_a_trace_says_that_a_client_passes_by_the_proxy_and_changes_nothing(proxying: Proxying) -> None:
    _, _, made, conversation = await told_conversation(proxying)
    assert made.proxied
    opening = Opening(ip_address(CLIENT), 40_000, 443)
    trace = await proxying.world.dataplane.trace(made.proxied.endpoint, opening)
    assert trace
    assert trace.passes, trace
    assert trace.agrees, trace
    assert await conversation.echoes()


async def test_a_gateway_type_endpoint_tells_of_its_clients_too(proxying: Proxying) -> None:
    payments, service = await published(proxying)
    server = await proxying.serve("told", payments, BACKEND)
    shop = await proxying.world.vpc("shop", CLIENT)
    routes = (Route(IPv4Network("100.125.0.0/16")),)
    mine = replace(endpoint(shop, service, address="100.125.0.0"), routes=routes)
    await proxying.lead(mine, service)
    conversation = await proxying.world.reaches(shop, CLIENT, "100.125.3.4", 443)
    assert await conversation.echoes()
    (told,) = server.told
    assert (str(told.client), told.unique_id) == (CLIENT, f"marker=1;endpoint={mine.id};vpc={shop.id}")
    assert (str(told.address), told.port) == ("100.125.0.0", 443), "the endpoint's address stands for all"
