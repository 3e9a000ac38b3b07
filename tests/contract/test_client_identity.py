"""What backends learn of clients, asked of the fake and of the kernel: services that keep the source, and proxies."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from uuid import uuid4

import pytest

from services.gateway_agent.dataplane.endpoint_sources import NO_SOURCE
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.dataplane.port import DataplaneError
from services.gateway_agent.packet_trace import Opening, Outcome, PacketTrace, Subject
from services.gateway_agent.table import ClientIdentity, Endpoint, ForwardingTable, PortMapping, Protocol, Service
from tests.support.worlds import DNS, SOURCE, WEB, Vpc, World, fake_world, kernel_world

PROXIED = PortMapping(443, 8443, Protocol.TCP, ClientIdentity.PROXY)
TO_THE_PROXY = PortMapping(443, 9443, Protocol.TCP)


@dataclass(frozen=True, slots=True)
class Scene:
    """`shop` with two clients, `annex` with a proxy and a resolver, `payments` with a server."""

    world: World
    shop: Vpc
    annex: Vpc
    payments: Vpc
    clients: tuple[str, str]
    within: str  # the address of the proxy and the resolver
    inner: str  # by which the proxy reaches the service
    server: str
    address: str

    async def put(self, entry: Service | Endpoint) -> None:
        await self.world.put(entry)
        assert (await self.world.dataplane.read()).entries[entry.key] == entry

    async def keeping(self, *ports: PortMapping) -> Service:
        """A service of the annex that keeps the source."""
        plain = await self.world.publish(self.annex, self.within, ports=ports)
        await self.world.remove(plain)
        await self.put(service := replace(plain, id=str(uuid4()), keeps_source=True))
        return service

    async def leading(self, service: Service, address: str, proxy: str = "") -> Endpoint:
        plain = await self.world.lead(self.shop, service, address)
        if not (service.keeps_source or proxy):
            return plain
        await self.world.remove(plain)
        source = NO_SOURCE if service.keeps_source else plain.source_address
        await self.put(endpoint := replace(plain, source_address=source, proxy=proxy))
        return endpoint

    async def traced(self, endpoint: Endpoint, port: int, source_port: int = 50000) -> PacketTrace:
        opening = Opening(ip_address(self.clients[0]), source_port, port)
        trace = await self.world.dataplane.trace(endpoint.id, opening)
        assert trace
        assert trace.agrees, trace
        return trace

    async def counted(self, counter: Counter) -> int:
        return (await self.world.dataplane.counters())[counter]


ADDRESSES = {
    "IPv4": (("10.0.0.10", "10.0.0.11"), "169.254.0.53", "169.254.0.54", "10.0.0.20", "10.0.0.100"),
    "IPv6": (("fd00::10", "fd00::11"), "fd01::53", "fd01::54", "fd00::20", "fd00::100"),
}
KERNEL = pytest.param("kernel IPv4", marks=pytest.mark.root)
OF_BOTH_FAMILIES = pytest.mark.parametrize(
    "scene", ["fake IPv4", "fake IPv6", KERNEL, pytest.param("kernel IPv6", marks=pytest.mark.root)], indirect=True
)


@pytest.fixture(params=["fake IPv4", KERNEL])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    kind, family = request.param.split()
    async with AsyncExitStack() as stack:
        world: World
        if kind == "fake":
            world = await stack.enter_async_context(fake_world())
        else:
            world = kernel = await stack.enter_async_context(kernel_world(tmp_path))
            kernel.ipv6 = family == "IPv6"
        yield await make_scene(world, family)


async def make_scene(world: World, family: str) -> Scene:
    clients, within, inner, server, address = ADDRESSES[family]
    shop, annex = await world.vpc("shop", *clients), await world.vpc("annex", within)
    payments = await world.vpc("payments", server)
    world.lead_out(annex)
    await world.serve(annex, within, 5353, "resolver", Protocol.UDP)
    await world.serve(annex, within, 8080, "resolver")
    await world.serve(annex, within, 9443, "proxy")
    await world.serve(payments, server, 8443, "server")
    await world.serve(payments, server, 8080, "server")
    return Scene(world, shop, annex, payments, clients, within, inner, server, address)


@OF_BOTH_FAMILIES
async def test_who_is_asked_through_a_service_that_keeps_the_source_sees_the_client_itself(scene: Scene) -> None:
    endpoint = await scene.leading(await scene.keeping(WEB, DNS), scene.address)
    for client in scene.clients:
        for port, protocol in ((80, Protocol.TCP), (53, Protocol.UDP)):
            conversation = await scene.world.reaches(scene.shop, client, scene.address, port, protocol)
            assert conversation.backend == "resolver"
            assert conversation.seen_as == ip_address(client)
            assert await conversation.echoes()
    passed = (await scene.world.dataplane.traffic())[endpoint.id]
    assert passed.sessions == 4
    assert passed.packets_in >= 4 <= passed.packets_out


async def test_a_source_that_is_kept_and_taken_is_refused_as_a_source_port_that_is_not_free(scene: Scene) -> None:
    service, client = await scene.keeping(DNS), scene.clients[0]
    other = str(ip_address(scene.address) + 1)
    await scene.leading(service, scene.address)
    await scene.leading(service, other)
    udp = Protocol.UDP
    first = await scene.world.connect(scene.shop, client, scene.address, 53, udp, source_port=40001)
    assert first
    await first.close()  # the session is there until it has been idle
    second = await scene.world.connect(scene.shop, client, other, 53, udp, source_port=40001, patience=0.3)
    assert second is None, "the resolver could not tell the two apart"
    assert await scene.counted(Counter.REFUSED_NO_SOURCE_PORT) > 0
    await scene.world.reaches(scene.shop, client, other, 53, udp)


async def test_sessions_that_keep_the_source_are_cut_with_their_endpoint(scene: Scene) -> None:
    endpoint = await scene.leading(await scene.keeping(WEB), scene.address)
    conversation = await scene.world.reaches(scene.shop, scene.clients[0], scene.address, 80)
    await scene.world.restart()
    assert await conversation.echoes()
    await scene.put(replace(endpoint, admission=2))
    assert await conversation.is_cut()
    another = await scene.world.reaches(scene.shop, scene.clients[1], scene.address, 80)
    await scene.world.remove(endpoint)
    assert await another.is_cut()


@OF_BOTH_FAMILIES
async def test_a_port_with_a_proxy_leads_to_it_and_the_proxy_to_the_backends_as_the_endpoint(scene: Scene) -> None:
    world, client = scene.world, scene.clients[0]
    service = await world.publish(scene.payments, scene.server, ports=(WEB, PROXIED))
    proxy = await scene.keeping(TO_THE_PROXY)
    outer = await scene.leading(service, scene.address, proxy.id)
    inner = replace(outer, id=str(uuid4()), vpc=scene.annex.id, address=ip_address(scene.inner), proxy=service.id)
    await scene.put(inner)
    plain = await world.reaches(scene.shop, client, scene.address, 80)
    assert plain.backend == "server", "a port without one leads to the backends"
    asked = await world.reaches(scene.shop, client, scene.address, 443)
    assert (asked.backend, asked.seen_as) == ("proxy", ip_address(client))
    connected = await world.reaches(scene.annex, scene.within, scene.inner, 443)
    assert (connected.backend, connected.seen_as) == ("server", plain.seen_as)
    assert int(plain.seen_as or 0) & 0xFFFFFFFF == int(IPv4Address(SOURCE))
    await world.restart()
    assert (await world.dataplane.read()).entries[inner.key] == inner
    assert await asked.echoes()
    assert await connected.echoes()
    await world.remove(inner)
    assert await connected.is_cut()
    assert await plain.echoes(), "the endpoint has its source address still"
    assert await scene.world.reaches(scene.shop, client, scene.address, 80)


async def test_a_port_that_should_have_a_proxy_and_has_none_leads_nowhere(scene: Scene) -> None:
    service = await scene.world.publish(scene.payments, scene.server, ports=(WEB, PROXIED))
    endpoint = await scene.leading(service, scene.address)
    assert await scene.world.refuses(scene.shop, scene.clients[0], scene.address, 443)
    assert await scene.counted(Counter.REFUSED_NO_PROXY) > 0
    await scene.world.reaches(scene.shop, scene.clients[0], scene.address, 80)
    before = await scene.counted(Counter.REFUSED_NO_PROXY)
    await scene.put(replace(endpoint, proxy=(await scene.keeping(WEB)).id))
    assert await scene.world.refuses(scene.shop, scene.clients[0], scene.address, 443)
    assert await scene.counted(Counter.REFUSED_NO_PROXY) > before, "a proxy that knows nothing of the port is none"
    passed = (await scene.world.dataplane.traffic())[endpoint.id]
    assert passed.refused["no_proxy"] > 0


async def test_sessions_stay_with_the_way_they_began_and_new_ones_go_as_the_port_says_now(scene: Scene) -> None:
    world, client = scene.world, scene.clients[0]
    service = await world.publish(scene.payments, scene.server, ports=(WEB, PROXIED))
    endpoint = await scene.leading(service, scene.address)
    plain = await world.reaches(scene.shop, client, scene.address, 80)
    proxy = await scene.keeping(TO_THE_PROXY)
    await scene.put(replace(endpoint, proxy=proxy.id))
    assert await plain.echoes(), "a proxy that comes cuts nothing"
    proxied = await world.reaches(scene.shop, client, scene.address, 443)
    await scene.put(replace(service, ports=(WEB, replace(PROXIED, identity=ClientIdentity.NONE))))
    assert await proxied.echoes()
    direct = await world.reaches(scene.shop, client, scene.address, 443)
    assert (proxied.backend, direct.backend) == ("proxy", "server")
    await scene.put(service)
    assert await direct.echoes()
    assert (await world.reaches(scene.shop, client, scene.address, 443)).backend == "proxy"
    await scene.put(endpoint)
    await world.remove(proxy)
    assert await proxied.echoes(), "what is open goes on as long as the proxy lives"
    assert await world.refuses(scene.shop, client, scene.address, 443)
    await scene.put(replace(service, ports=(WEB,)))
    assert await proxied.is_cut()
    assert await direct.is_cut()
    assert await plain.echoes()


async def test_a_proxy_and_a_whitelist_change_at_once(scene: Scene) -> None:
    world = scene.world
    service = await world.publish(scene.payments, scene.server, ports=(WEB, PROXIED))
    first, second = await scene.keeping(TO_THE_PROXY), await scene.keeping(TO_THE_PROXY)
    endpoint = await scene.leading(service, scene.address, first.id)
    proxied = await world.reaches(scene.shop, scene.clients[0], scene.address, 443)
    narrow = (type(endpoint.allowed[0])(scene.clients[0]),)
    await scene.put(replace(endpoint, proxy=second.id, allowed=narrow))
    assert await proxied.echoes()
    assert await world.refuses(scene.shop, scene.clients[1], scene.address, 443)
    await world.remove(first)


async def test_what_has_no_source_address_leads_to_services_that_keep_the_source_alone(scene: Scene) -> None:
    service = await scene.world.publish(scene.payments, scene.server)
    endpoint = await scene.world.lead(scene.shop, service, scene.address)
    with pytest.raises(DataplaneError, match="needs a source address"):
        await scene.world.put(replace(endpoint, source_address=NO_SOURCE))
    keeping = await scene.keeping(WEB)
    resolver = await scene.leading(keeping, str(ip_address(scene.address) + 1))
    with pytest.raises(DataplaneError, match="keeps the source for its endpoints: remove them first"):
        await scene.world.put(replace(keeping, keeps_source=False))
    with pytest.raises(DataplaneError, match=f"needs service {(unknown := str(uuid4()))}"):
        await scene.world.put(replace(endpoint, proxy=unknown))
    with pytest.raises(DataplaneError, match=f"needed by endpoint {resolver.id}"):
        await scene.world.remove(keeping)


async def test_what_is_gone_leaves_nothing(scene: Scene) -> None:
    service = await scene.world.publish(scene.payments, scene.server, ports=(WEB, PROXIED))
    proxy = await scene.keeping(TO_THE_PROXY)
    endpoint = await scene.leading(service, scene.address, proxy.id)
    await scene.world.remove(endpoint, proxy, service)
    attachments = (scene.shop.attachment, scene.annex.attachment, scene.payments.attachment)
    assert await scene.world.dataplane.read() == ForwardingTable.of(attachments)
    again = await scene.leading(
        await scene.world.publish(scene.payments, scene.server, ports=(PROXIED,)), scene.address
    )
    assert (await scene.world.dataplane.read()).entries[again.key] == again, "nobody's proxy is left of the slot"
    assert await scene.world.refuses(scene.shop, scene.clients[0], scene.address, 443)


async def test_a_trace_tells_of_the_proxy_and_of_what_a_backend_reads(scene: Scene) -> None:
    toa = PortMapping(81, 8080, Protocol.TCP, ClientIdentity.TOA)
    service = await scene.world.publish(scene.payments, scene.server, ports=(WEB, PROXIED, toa))
    endpoint = await scene.leading(service, scene.address)
    without = await scene.traced(endpoint, 443)
    assert without.verdict == Counter.REFUSED_NO_PROXY.value
    assert [step.subject for step in without.steps if step.outcome is Outcome.REFUSED] == [Subject.BACKEND]
    told = await scene.traced(endpoint, 81)
    assert (str(told.backend), told.server_port) == (scene.server, 8080)
    endpoint = replace(endpoint, proxy=(await scene.keeping(TO_THE_PROXY)).id)
    await scene.put(endpoint)
    trace = await scene.traced(endpoint, 443)
    assert (str(trace.backend), trace.server_port) == (scene.within, 9443)
    assert (trace.seen_as, trace.seen_port) == (ip_address(scene.clients[0]), 50000)
    if trace.program != "fake":
        assert f"the proxy of endpoint {endpoint.id}" in trace_message(trace, Subject.BACKEND)
        assert trace_message(trace, Subject.SOURCE).endswith("port 50000, the client's own")
        assert trace_message(without, Subject.BACKEND) == f"the proxy of endpoint {endpoint.id} is not there"
        assert trace_message(told, Subject.PORT).endswith("leads to port 8080, and the SYN tells of the client (TOA)")
        assert f"and in TCP option 254 {scene.clients[0]} port 50000" in trace_message(told, Subject.SOURCE)
        assert scene.annex.id in trace_message(trace, Subject.WAY_OUT)


def trace_message(trace: PacketTrace, subject: Subject) -> str:
    return next(step.message for step in trace.steps if step.subject is subject)
