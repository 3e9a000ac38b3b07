"""Endpoints that are reached by routes, asked of the fake and of the kernel alike."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path
from uuid import uuid4

import pytest

from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.dataplane.port import DataplaneError, NotReady
from services.gateway_agent.packet_trace import FORWARDED, Opening, Outcome, Subject
from services.gateway_agent.table import (
    Affinity,
    Endpoint,
    Entry,
    ForwardingTable,
    Protocol,
    Route,
    Service,
    everybody,
)
from services.gateway_agent.targets import Netns
from tests.support.namespaces import DEVICE
from tests.support.worlds import DNS, SOURCE, WEB, KernelWorld, Vpc, World, fake_world, kernel_world


@dataclass(frozen=True, slots=True)
class Family:
    """Addresses of one IP version."""

    client: str
    other_client: str
    backend: str
    prefix: str  # public
    first: str  # addresses of it, the first of all among them
    inside: str
    denied: str  # the part of it that a policy may deny
    in_denied: str
    single: str  # in that part, and allowed again
    elsewhere: str


FOUR = Family(
    "10.0.0.10",
    "10.0.0.11",
    "10.0.0.20",
    "100.125.0.0/16",
    "100.125.0.0",
    "100.125.7.9",
    "100.125.8.0/21",
    "100.125.9.1",
    "100.125.9.9/32",
    "100.126.0.1",
)
SIX = Family(
    "fd00::10",
    "fd00::11",
    "fd00::20",
    "2001:db8::/32",
    "2001:db8::",
    "2001:db8:7::9",
    "2001:db8:8::/45",
    "2001:db8:9::1",
    "2001:db8:9::9/128",
    "2001:db9::1",
)


def route(prefix: str, *ports: tuple[Protocol, int], denied: bool = False) -> Route:
    return Route(ip_network(prefix), denied, ports)


@dataclass(frozen=True, slots=True)
class Scene:
    """`shop` with an endpoint of a public prefix, which leads to a web server and a resolver in `cloud`."""

    world: World
    family: Family
    shop: Vpc
    cloud: Vpc
    service: Service
    endpoint: Endpoint

    async def put(self, *routes: Route) -> None:
        await self.world.put(replace(self.endpoint, routes=routes))

    async def refuses(self, address: str, port: int = 80, protocol: Protocol = Protocol.TCP) -> bool:
        return await self.world.refuses(self.shop, self.family.client, address, port, protocol)

    async def reaches(self, address: str, port: int = 80, protocol: Protocol = Protocol.TCP) -> None:
        conversation = await self.world.reaches(self.shop, self.family.client, address, port, protocol)
        assert conversation.seen_as is not None
        await conversation.close()

    async def refused(self) -> dict[str, int]:
        return dict((await self.world.dataplane.traffic())[self.endpoint.id].refused)


def leading(family: Family, shop: Vpc, service: Service, *routes: Route) -> Endpoint:
    return Endpoint(
        id=str(uuid4()),
        marker=7,
        vpc=shop.id,
        address=ip_address(family.first),
        service=service.id,
        source_address=IPv4Address(SOURCE),
        admission=1,
        allowed=everybody(ip_address(family.first).version),
        routes=routes or (route(family.prefix),),
    )


WAYS = {
    "fake": (FOUR, []),
    "fake, IPv6": (SIX, []),
    "kernel": (FOUR, ["netns"]),
    "kernel, IPv6": (SIX, ["netns"]),
    "kernel with others' devices": (FOUR, ["interface", "vxlan"]),
}


@asynccontextmanager
async def scenery(way: str, bpffs: Path) -> AsyncIterator[Scene]:
    family, kinds = WAYS[way]
    async with kernel_world(bpffs, kinds=kinds) if kinds else fake_world() as world:
        if isinstance(world, KernelWorld):
            world.ipv6 = family is SIX
        shop = await world.vpc("shop", family.client, family.other_client)
        cloud = await world.vpc("cloud", family.backend)
        await world.serve(cloud, family.backend, 8080)
        await world.serve(cloud, family.backend, 5353, "dns", Protocol.UDP)
        service = await world.publish(cloud, family.backend, ports=(WEB, DNS))
        endpoint = leading(family, shop, service)
        await world.put(endpoint)
        route_by_hand(world, shop, family.prefix)
        yield Scene(world, family, shop, cloud, service, endpoint)


@pytest.fixture(params=["fake", "fake, IPv6"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    async with scenery(request.param, tmp_path) as made:
        yield made


def route_by_hand(world: World, vpc: Vpc, prefix: str) -> None:
    """A router's work, where the gateway does not make the route itself."""
    if not isinstance(world, KernelWorld) or isinstance(vpc.attachment.target, Netns):
        return
    for space in world.site(vpc).spaces:
        space.ip("route", "replace", prefix, "dev", DEVICE)


@pytest.mark.root
@pytest.mark.parametrize("way", ["kernel", "kernel, IPv6", "kernel with others' devices"])
async def test_the_kernel_does_all_of_it_as_the_fake_does(way: str, tmp_path: Path) -> None:
    """One after the other: to load the program takes longer than each of them."""
    async with scenery(way, tmp_path) as scene:
        await test_what_passes_by_a_route_is_counted_for_its_endpoint(scene)
        for test in (
            test_every_address_of_a_route_leads_to_the_service,
            test_what_was_put_is_read,
            test_a_route_allows_the_ports_that_it_names_and_no_others,
            test_a_policy_that_changes_cuts_what_it_no_longer_allows_and_nothing_else,
            test_of_several_routes_the_longest_counts,
            test_an_endpoint_that_is_removed_leaves_no_way,
        ):
            await scene.put(route(scene.family.prefix))
            await test(scene)
        for test in (
            test_the_whitelist_holds_as_for_other_endpoints,
            test_a_route_that_goes_takes_its_sessions_with_it,
            test_a_trace_names_the_route_that_was_taken,
            test_affinity_is_of_the_client_and_the_endpoint_whatever_address_it_asks,
            test_an_endpoint_that_drains_opens_nothing_by_its_routes,
            test_the_same_prefix_may_lead_elsewhere_in_another_vpc,
            test_no_client_has_an_address_of_a_route,
            test_no_two_endpoints_of_a_vpc_have_one_address,
        ):
            if way == "kernel":
                await scene.put(route(scene.family.prefix))
                await test(scene)


async def test_every_address_of_a_route_leads_to_the_service(scene: Scene) -> None:
    for address in (scene.family.first, scene.family.inside, scene.family.in_denied):
        await scene.reaches(address)
        await scene.reaches(address, 53, Protocol.UDP)
    assert await scene.refuses(scene.family.elsewhere)
    assert await scene.refuses(scene.family.inside, 81)


async def test_what_was_put_is_read(scene: Scene) -> None:
    family = scene.family
    routes = (
        route(family.prefix, (Protocol.UDP, 53), (Protocol.TCP, 80)),
        route(family.denied, denied=True),
        route(family.single, (Protocol.TCP, 443)),
    )
    changed = replace(scene.endpoint, routes=routes)
    await scene.put(*routes)
    entries: list[Entry] = [scene.shop.attachment, scene.cloud.attachment, scene.service, changed]
    assert await scene.world.dataplane.read() == ForwardingTable.of(entries)
    await scene.world.restart()
    assert await scene.world.dataplane.read() == ForwardingTable.of(entries)


async def test_of_several_routes_the_longest_counts(scene: Scene) -> None:
    family = scene.family
    await scene.put(route(family.prefix), route(family.denied, denied=True), route(family.single))
    await scene.reaches(family.inside)
    assert await scene.refuses(family.in_denied)
    assert (await scene.refused())["denied"] > 0
    await scene.reaches(family.single.partition("/")[0])


async def test_a_route_allows_the_ports_that_it_names_and_no_others(scene: Scene) -> None:
    family = scene.family
    await scene.put(route(family.prefix, (Protocol.TCP, 80)), route(family.denied, (Protocol.UDP, 53)))
    await scene.reaches(family.inside)
    assert await scene.refuses(family.inside, 53, Protocol.UDP)
    await scene.reaches(family.in_denied, 53, Protocol.UDP)
    assert await scene.refuses(family.in_denied)


async def test_the_whitelist_holds_as_for_other_endpoints(scene: Scene) -> None:
    family = scene.family
    await scene.world.put(replace(scene.endpoint, allowed=(ip_network(family.other_client),)))
    assert await scene.refuses(family.inside)
    await (await scene.world.reaches(scene.shop, family.other_client, family.inside, 80)).close()


async def test_a_policy_that_changes_cuts_what_it_no_longer_allows_and_nothing_else(scene: Scene) -> None:
    world, family, shop = scene.world, scene.family, scene.shop
    web, inner, dns = [
        await world.reaches(shop, family.client, *to)
        for to in (
            (family.inside, 80),
            (family.in_denied, 80),
            (family.inside, 53, Protocol.UDP),
        )
    ]
    await scene.put(route(family.prefix, (Protocol.TCP, 80)), route(family.denied, denied=True))
    assert await web.echoes()
    assert await inner.is_cut()
    assert await dns.is_cut()
    await scene.put(route(family.prefix))
    assert await web.echoes()
    await world.restart()
    assert await web.echoes()


async def test_a_route_that_goes_takes_its_sessions_with_it(scene: Scene) -> None:
    world, family, shop = scene.world, scene.family, scene.shop
    first, inner = [await world.reaches(shop, family.client, each, 80) for each in (family.first, family.in_denied)]
    await scene.put(route(f"{family.first}/{ip_address(family.first).max_prefixlen}"))
    assert await first.echoes()
    assert await inner.is_cut()
    assert await scene.refuses(family.in_denied)


async def test_a_trace_names_the_route_that_was_taken(scene: Scene) -> None:
    family, single = scene.family, scene.family.single.partition("/")[0]
    await scene.put(route(family.prefix, (Protocol.TCP, 80)), route(family.denied, denied=True), route(family.single))
    for address, port, route_taken, says in (
        (family.inside, 80, family.prefix, ""),
        (family.inside, 53, family.prefix, "does not allow"),
        (family.in_denied, 80, family.denied, "which is denied"),
        (single, 80, family.single, "every port"),
        ("", 80, family.prefix, ""),
    ):
        protocol = Protocol.TCP if port == 80 else Protocol.UDP
        asked = Opening(
            ip_address(family.client),
            port=port,
            protocol=protocol,
            destination=ip_address(address) if address else None,
        )
        trace = await scene.world.dataplane.trace(scene.endpoint.id, asked)
        assert trace is not None and trace.agrees, trace
        assert str(trace.address) == address or family.first
        passes = "allow" not in says and "denied" not in says
        assert trace.verdict == (FORWARDED if passes else Counter.REFUSED_DENIED)
        (step,) = [step for step in trace.steps if step.subject is Subject.ROUTE]
        assert step.outcome is (Outcome.PASSED if passes else Outcome.REFUSED)
        if isinstance(scene.world, KernelWorld):
            assert step.message.startswith(f"{route_taken} has {address or family.first}: route ")
            assert says in step.message
    with pytest.raises(NotReady, match="no address of the endpoint"):
        stray = Opening(ip_address(family.client), destination=ip_address(family.elsewhere))
        await scene.world.dataplane.trace(scene.endpoint.id, stray)


async def test_an_endpoint_that_is_removed_leaves_no_way(scene: Scene) -> None:
    world, family = scene.world, scene.family
    there = await world.reaches(scene.shop, family.client, family.inside, 80)
    await world.remove(scene.endpoint)
    assert await there.is_cut()
    assert await scene.refuses(family.inside)
    assert await scene.refuses(family.first)


async def test_the_same_prefix_may_lead_elsewhere_in_another_vpc(scene: Scene) -> None:
    world, family = scene.world, scene.family
    mart, other = await world.vpc("mart", family.client), await world.vpc("other", family.backend)
    await world.serve(other, family.backend, 8080, "other")
    service = await world.publish(other, family.backend)
    await world.put(leading(family, mart, service))
    route_by_hand(world, mart, family.prefix)
    for vpc, backend in ((scene.shop, "web"), (mart, "other")):
        conversation = await world.reaches(vpc, family.client, family.inside, 80)
        assert conversation.backend == backend
        await conversation.close()


async def test_no_two_endpoints_of_a_vpc_have_one_address(scene: Scene) -> None:
    family = scene.family
    second = replace(
        leading(family, scene.shop, scene.service, route(family.single)),
        address=ip_address(family.single.partition("/")[0]),
    )
    with pytest.raises(NotReady, match="still a route of endpoint"):
        await scene.world.put(second)
    await scene.put(route(f"{family.first}/{ip_address(family.first).max_prefixlen}"))
    await scene.world.put(second)
    await scene.reaches(family.single.partition("/")[0])


@pytest.mark.parametrize(
    ("routes", "told"),
    [
        ((route("100.125.0.0/16"), route("100.125.0.0/16", denied=True)), "one of them twice"),
        ((route("100.125.0.0/16"), route("2001:db8::/32")), "IP version"),
        ((route("100.125.1.0/24"),), "is not the first address"),
        ((route("100.125.0.0/16", (Protocol.TCP, 0)),), "outside 1 to 65535"),
        ((route("100.125.0.0/16", (Protocol.TCP, 8), (Protocol.TCP, 8)),), "one of them twice"),
    ],
)
async def test_routes_that_make_no_sense_are_refused(tmp_path: Path, routes: tuple[Route, ...], told: str) -> None:
    async with scenery("fake", tmp_path) as scene:
        with pytest.raises(DataplaneError, match=told):
            await scene.put(*routes)


async def test_no_client_has_an_address_of_a_route(scene: Scene) -> None:
    world, family = scene.world, scene.family
    world.add_hosts(scene.shop, family.elsewhere, family.in_denied)
    await scene.put(route(family.prefix), route(family.denied, denied=True))
    assert await world.refuses(scene.shop, family.in_denied, family.inside, 80)
    assert (await scene.refused())["spoofed"] > 0


async def test_an_endpoint_that_drains_opens_nothing_by_its_routes(scene: Scene) -> None:
    world, family = scene.world, scene.family
    there = await world.reaches(scene.shop, family.client, family.inside, 80)
    await world.put(replace(scene.endpoint, draining_until=1 << 62))
    assert await there.echoes()
    assert await scene.refuses(family.inside)


async def test_what_passes_by_a_route_is_counted_for_its_endpoint(scene: Scene) -> None:
    await scene.reaches(scene.family.inside)
    await scene.reaches(scene.family.in_denied)
    passed = (await scene.world.dataplane.traffic())[scene.endpoint.id]
    assert passed.sessions_made == 2
    assert passed.packets_in > 0 < passed.packets_out


async def test_affinity_is_of_the_client_and_the_endpoint_whatever_address_it_asks(scene: Scene) -> None:
    world, family = scene.world, scene.family
    second = str(ip_address(family.backend) + 1)
    world.add_hosts(scene.cloud, second)
    await world.serve(scene.cloud, second, 8080, "second")
    both = replace(await world.publish(scene.cloud, family.backend, second), affinity=Affinity.SOURCE_ADDRESS)
    await world.put(both, replace(scene.endpoint, service=both.id))
    first = ip_network(family.prefix).network_address
    found = set()
    for number in range(12):
        conversation = await world.reaches(scene.shop, family.client, str(first + number), 80)
        found.add(conversation.backend)
        await conversation.close()
    assert len(found) == 1
