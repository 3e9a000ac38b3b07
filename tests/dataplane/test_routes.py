"""Packets to addresses of routes: ways in a namespace, questions by ARP, errors, fragments, captures, flows."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_network
from uuid import uuid4

import pytest

from services.gateway_agent.captures import LONGEST_SNAP
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.dataplane.on_link import OURS
from services.gateway_agent.flows import FULL
from services.gateway_agent.reach import Outcome
from services.gateway_agent.table import Endpoint, Protocol, Route, Service, everybody
from tests.support.hosts import UdpClient
from tests.support.namespaces import DEVICE, Namespace
from tests.support.wire import ICMP, Segment, arp_request
from tests.support.worlds import DNS, PATIENCE, SOURCE, WEB, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"
CLIENT6, BACKEND6 = "fd00::10", "fd00::20"
PREFIX, INSIDE, DENIED, IN_DENIED = "100.125.0.0/16", "100.125.7.9", "100.125.8.0/21", "100.125.9.1"
PREFIX6, INSIDE6 = "2001:db8::/32", "2001:db8:7::9"


@dataclass(slots=True)
class Scene:
    world: KernelWorld
    shop: Vpc
    cloud: Vpc
    service: Service
    endpoint: Endpoint

    @property
    def inside(self) -> Namespace:
        return self.world.namespace(self.shop)

    def on_link(self, family: int = 4) -> set[str]:
        """The prefixes that the namespace has routes to by the gateway's veth, but for that of source addresses."""
        routes = json.loads(self.inside.ip(f"-{family}", "-j", "route", "show", "dev", DEVICE))
        return {route["dst"] for route in routes if route["dst"].startswith(("100.", "2001:db8"))}

    async def put(self, *routes: Route) -> None:
        self.endpoint = replace(self.endpoint, routes=routes)
        await self.world.put(self.endpoint)

    async def counted(self, counter: Counter) -> int:
        return (await self.world.dataplane.counters())[counter]


def route(prefix: str, *ports: tuple[Protocol, int], denied: bool = False) -> Route:
    return Route(ip_network(prefix), denied, ports)


def leading(vpc: Vpc, service: Service, *routes: Route) -> Endpoint:
    first = routes[0].prefix.network_address
    own = IPv4Address(SOURCE)
    allowed = everybody(first.version)
    return Endpoint(str(uuid4()), 7, vpc.id, first, service.id, own, 1, allowed=allowed, routes=routes)


@pytest.fixture
async def scene(world: KernelWorld) -> AsyncIterator[Scene]:
    world.ipv6 = True
    shop, cloud = await world.vpc("shop", CLIENT, CLIENT6), await world.vpc("cloud", BACKEND, BACKEND6)
    await world.serve(cloud, BACKEND, 8080)
    await world.serve(cloud, BACKEND, 5353, "dns", Protocol.UDP)
    service = await world.publish(cloud, BACKEND, ports=(WEB, DNS))
    endpoint = leading(shop, service, route(PREFIX), route(DENIED, denied=True))
    await world.put(endpoint)
    yield Scene(world, shop, cloud, service, endpoint)


async def test_a_namespace_has_a_route_to_each_public_prefix_as_long_as_an_endpoint_leads_there(scene: Scene) -> None:
    assert scene.on_link() == {PREFIX}
    await scene.put(route(PREFIX), route("100.126.0.0/17"), route("100.126.128.0/17"))
    assert scene.on_link() == {PREFIX, "100.126.0.0/17", "100.126.128.0/17"}
    await scene.world.restart()
    assert scene.on_link() == {PREFIX, "100.126.0.0/17", "100.126.128.0/17"}
    await scene.put(route(PREFIX), route(INSIDE + "/32"))
    assert scene.on_link() == {PREFIX}
    await scene.world.remove(scene.endpoint)
    assert scene.on_link() == set()
    assert scene.world.dataplane.difficulties() == {}


async def test_a_namespace_has_routes_of_ipv6(scene: Scene) -> None:
    world = scene.world
    await world.serve(scene.cloud, BACKEND6, 8080)
    service = await world.publish(scene.cloud, BACKEND6)
    await world.put(six := replace(leading(scene.shop, service, route(PREFIX6)), marker=8))
    assert (scene.on_link(4), scene.on_link(6)) == ({PREFIX}, {PREFIX6})
    await (await world.reaches(scene.shop, CLIENT6, INSIDE6, 80)).close()
    await world.remove(six)
    assert (scene.on_link(4), scene.on_link(6)) == ({PREFIX}, set())


async def test_a_route_of_the_tenants_own_is_told_and_left_alone(scene: Scene) -> None:
    await scene.world.remove(scene.endpoint)
    scene.inside.ip("route", "add", "blackhole", PREFIX)
    await scene.put(*scene.endpoint.routes)
    (told,) = scene.world.dataplane.difficulties().items()
    assert told[0] == scene.endpoint.key
    assert told[1].endswith(f"has another route to {PREFIX}, which an endpoint of the VPC leads to: remove it")
    scene.inside.ip("route", "delete", "blackhole", PREFIX)
    await scene.world.put(scene.endpoint)  # as an agent tries again
    assert scene.world.dataplane.difficulties() == {}
    assert scene.on_link() == {PREFIX}
    await scene.world.remove(scene.endpoint)
    assert scene.on_link() == set()


async def test_routes_that_a_tenant_makes_in_our_name_are_no_more_than_routes(scene: Scene) -> None:
    """Whoever has the namespace may choose their protocol, of a default route too, which has no destination."""
    for family in ("-4", "-6"):
        scene.inside.ip(family, "route", "add", "default", "dev", DEVICE, "proto", str(OURS))
    await scene.put(route(PREFIX), route("100.126.0.0/16"))
    assert scene.world.dataplane.difficulties() == {}
    assert scene.on_link() == {PREFIX, "100.126.0.0/16"}
    assert "default" not in scene.inside.ip("route", "show", "dev", DEVICE), "it is taken for one that was left"


async def test_what_an_agent_could_not_take_away_the_next_one_does(scene: Scene) -> None:
    """It was killed when the endpoint was gone from the table, and its route was not."""
    scene.world.dataplane._kernel.table.remove_endpoint(scene.endpoint.id)
    assert scene.on_link() == {PREFIX}
    await scene.world.restart()
    assert scene.on_link() == set()


async def test_what_somebody_else_has_taken_out_of_the_maps_is_put_again_and_its_way_is_right(scene: Scene) -> None:
    world = scene.world
    for each in (world.maps.routes, world.maps.rules):
        await world.put(scene.endpoint)
        ((first, _), *_) = each.items()
        each.delete(first)
        assert (await world.dataplane.read()).entries.get(scene.endpoint.key) != scene.endpoint
        await world.put(replace(scene.endpoint, admission=2))
        await (await world.reaches(scene.shop, CLIENT, INSIDE, 80)).close()
        await world.remove(scene.endpoint)
        assert scene.on_link() == set()


async def test_routes_of_a_vpc_that_was_lost_come_with_it(scene: Scene) -> None:
    world = scene.world
    world.lose(scene.shop)
    async with asyncio.timeout(PATIENCE):
        while scene.shop.attachment.key not in world.dataplane.difficulties():
            await world.dataplane.wait_for_news()
    world.restore(scene.shop)
    await world.put(scene.shop.attachment)
    assert scene.on_link() == {PREFIX}


async def test_every_address_of_a_route_is_answered_for_denied_ones_too(scene: Scene) -> None:
    """So that no other machine is taken for them, and what is sent there ends here, and is counted."""
    wire = scene.world.wire(scene.shop)
    for address, counter in (
        (INSIDE, Counter.ARP_ANSWERED),
        (IN_DENIED, Counter.ARP_ANSWERED),
        ("100.126.0.1", Counter.REFUSED_ARP),
    ):
        await scene.world.counts_one(counter, wire.send(arp_request(wire.mac, CLIENT, address)))
    echo = Segment(CLIENT, INSIDE, 0x0800, 0, ICMP).pack()  # is refused as at an endpoint's own address
    await scene.world.counts_one(Counter.REFUSED_ICMP, wire.send_ipv4(echo))


async def test_a_port_that_nobody_serves_is_told_by_the_address_that_the_client_used(scene: Scene) -> None:
    """The machine's ICMP error comes as one of the ordinary address: the client's socket takes it."""
    await scene.world.put(replace(scene.service, ports=(WEB, replace(DNS, server_port=9))))
    with scene.inside.run(lambda: socket.socket(type=socket.SOCK_DGRAM)) as client:
        client.settimeout(PATIENCE)
        client.connect((INSIDE, 53))
        client.send(b"is anybody there?")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(client.recv, 1)


async def test_a_datagram_in_pieces_reaches_an_address_of_a_route_and_comes_back(scene: Scene) -> None:
    client = await UdpClient.connect(scene.inside, INSIDE, 53, source=CLIENT, source_port=0, patience=PATIENCE)
    assert client is not None
    before = (await scene.world.dataplane.counters())[Counter.FRAGMENT_FORWARDED]
    assert await client.echoes(bytes(4000), PATIENCE)
    assert (await scene.world.dataplane.counters())[Counter.FRAGMENT_FORWARDED] == before + 6
    await client.close()


async def test_a_capture_has_packets_of_every_address_and_flows_tell_which(scene: Scene) -> None:
    world, devices = scene.world, set[int]()
    world.dataplane.sample_flows(FULL)
    capture = world.dataplane.capture(scene.endpoint.id, LONGEST_SNAP)
    assert capture is not None
    try:
        assert [device.filter for device in capture.devices] == [f"net {PREFIX}", f"host {SOURCE}"]
        await (await world.reaches(scene.shop, CLIENT, INSIDE, 80)).close()
        assert await world.refuses(scene.shop, CLIENT, IN_DENIED, 80)
        async with asyncio.timeout(PATIENCE):
            while devices != {0, 1}:
                devices |= {packet.device for packet in await capture.batch()}
            async with aclosing(world.dataplane.flows()) as flows:
                refused = await anext(flows)
    finally:
        capture.close()
    assert (refused.endpoint, str(refused.address), refused.verdict) == (scene.endpoint.id, IN_DENIED, "refused_denied")
    reach = await world.dataplane.reach(scene.endpoint.id, 0.5)  # it is tried out as others are
    assert reach is not None
    assert (reach.answers, reach.claimants) == (True, ())
    assert {attempt.outcome for attempt in reach.attempts} == {Outcome.OPEN, Outcome.PRESENT}
