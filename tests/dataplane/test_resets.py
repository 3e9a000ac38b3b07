"""Ends of a TCP connection whose session is no more are told, where a service asks for it and they may know."""

import asyncio
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from struct import pack
from uuid import uuid4

import pytest

from services.gateway_agent.dataplane.maps import NUMBER, Counter
from services.gateway_agent.table import Endpoint, Service
from tests.support.hosts import TcpClient
from tests.support.sites import IN_EVERY_WAY
from tests.support.tables import backends
from tests.support.wire import ACK, FIN, IPV4, RST, SYN, UDP, Segment, Wire, checksum
from tests.support.worlds import DNS, ENDPOINT, SOURCE, WEB, KernelConversation, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, NOBODY, BACKEND = "10.0.0.10", "10.0.0.77", "10.0.0.20"
IPV6 = "fd00::10", "fd00::20", "fd00::100"  # client, backend, endpoint
STRAY = Segment(NOBODY, ENDPOINT, 40000, 80, flags=ACK, payload=b"odd")
SEQUENCE = 1  # of every segment made by hand


@dataclass(frozen=True, slots=True)
class Reset:
    """A segment without payload or options, as it came out; its checksums are right."""

    source: str
    destination: str
    source_port: int
    destination_port: int
    sequence: int
    acknowledged: int
    flags: int


@dataclass(slots=True)
class Scene:
    world: KernelWorld
    vpcs: tuple[Vpc, Vpc]
    service: Service
    endpoint: Endpoint
    shop: Wire
    payments: Wire

    async def is_silent(self, at: Wire, segment: Segment, reason: Counter = Counter.REFUSED_NO_SESSION) -> None:
        before = (await self.world.dataplane.counters())[Counter.RESET_SENT]
        await self.world.counts_one(reason, at.send_ipv4(segment.pack()))
        assert (await self.world.dataplane.counters())[Counter.RESET_SENT] == before

    async def refused(self) -> int:
        """How many packets of no session were counted for the endpoint."""
        passed = (await self.world.dataplane.traffic())[self.endpoint.id]
        return passed.refused.get("no_session", 0)


async def make_scene(world: KernelWorld, *, asked: bool = True, family: int = 4) -> Scene:
    client, backend, address = (CLIENT, BACKEND, ENDPOINT) if family == 4 else IPV6
    world.ipv6 = family == 6
    shop, payments = await world.vpc("shop", client), await world.vpc("payments", backend)
    service = Service(str(uuid4()), payments.id, (WEB, DNS), backends(backend), reset_expired=asked)
    await world.put(service)
    async with asyncio.timeout(10):
        while service.key in world.dataplane.difficulties():
            await world.dataplane.wait_for_news()
    endpoint = await world.lead(shop, service, address)
    return Scene(world, (shop, payments), service, endpoint, world.wire(shop), world.wire(payments, backend))


@pytest.fixture
async def scene(world: KernelWorld) -> Scene:
    return await make_scene(world)


async def next_reset(wire: Wire) -> Reset:
    while True:
        frame = await wire.receive()
        packet = frame[14:]
        if int.from_bytes(frame[12:14], "big") == IPV4 and packet[9] == 6 and packet[33] & RST:
            break
    assert (frame[:6], frame[6:12]) == (wire.mac, wire.gateway)
    tcp = packet[20 : int.from_bytes(packet[2:4], "big")]
    assert len(tcp) == 20
    assert checksum(packet[:20]) == 0
    assert checksum(packet[12:20] + pack(">HH", 6, len(tcp)) + tcp) == 0
    source, destination = (".".join(map(str, packet[at : at + 4])) for at in (12, 16))
    ports = int.from_bytes(tcp[0:2], "big"), int.from_bytes(tcp[2:4], "big")
    sequence, acknowledged = int.from_bytes(tcp[4:8], "big"), int.from_bytes(tcp[8:12], "big")
    return Reset(source, destination, *ports, sequence, acknowledged, tcp[13])


@IN_EVERY_WAY
async def test_a_client_is_told_with_the_number_that_it_acknowledged(world: KernelWorld) -> None:
    scene = await make_scene(world)
    await scene.shop.send_ipv4(STRAY.pack())
    assert await next_reset(scene.shop) == Reset(ENDPOINT, NOBODY, 80, 40000, 0, 0, RST)
    await scene.shop.send_ipv4(replace(STRAY, flags=FIN | ACK).pack())
    assert (await next_reset(scene.shop)).flags == RST
    counters = await world.dataplane.counters()
    assert (counters[Counter.RESET_SENT], counters[Counter.REFUSED_NO_SESSION]) == (2, 2)
    assert await scene.refused() == 2


@pytest.mark.parametrize(("flags", "length"), [(0, 3), (FIN, 4)])
async def test_one_that_acknowledged_nothing_has_all_of_it_acknowledged(scene: Scene, flags: int, length: int) -> None:
    await scene.shop.send_ipv4(replace(STRAY, flags=flags).pack())
    reset = Reset(ENDPOINT, NOBODY, 80, 40000, 0, SEQUENCE + length, RST | ACK)
    assert await next_reset(scene.shop) == reset


async def test_padding_is_no_data(scene: Scene) -> None:
    packet = replace(STRAY, flags=0, payload=b"").pack()
    await scene.shop.send_ipv4(packet.ljust(46, b"\0"))
    assert (await next_reset(scene.shop)).acknowledged == SEQUENCE


@IN_EVERY_WAY
async def test_a_backend_is_told_too(world: KernelWorld) -> None:
    scene = await make_scene(world)
    await scene.payments.send_ipv4(Segment(BACKEND, SOURCE, 8080, 2000, flags=ACK).pack())
    assert await next_reset(scene.payments) == Reset(SOURCE, BACKEND, 2000, 8080, 0, 0, RST)
    assert await scene.refused() == 1


async def test_the_agent_s_own_connections_to_backends_go_on(scene: Scene) -> None:
    """Health checks and tests of reachability come from ports that no session has."""
    await scene.is_silent(scene.payments, Segment(BACKEND, SOURCE, 8080, 1023, flags=ACK))
    assert await scene.refused() == 0


async def test_nobody_is_told_what_is_not_his(scene: Scene) -> None:
    await scene.is_silent(scene.shop, replace(STRAY, flags=RST))
    await scene.is_silent(scene.shop, replace(STRAY, flags=RST | ACK))
    await scene.is_silent(scene.shop, replace(STRAY, flags=SYN | ACK))
    await scene.is_silent(scene.shop, replace(STRAY, flags=SYN | FIN))
    await scene.is_silent(scene.shop, replace(STRAY, destination=BACKEND))
    await scene.is_silent(scene.shop, replace(STRAY, destination=SOURCE))
    await scene.is_silent(scene.shop, replace(STRAY, source="127.0.0.1"))
    await scene.is_silent(scene.shop, replace(STRAY, source=ENDPOINT))
    await scene.is_silent(scene.payments, STRAY)
    await scene.is_silent(scene.payments, Segment(BACKEND, "198.19.128.8", 8080, 2000, flags=ACK))
    await scene.is_silent(scene.payments, Segment("198.19.128.8", SOURCE, 8080, 2000, flags=ACK))
    unknown = Segment(BACKEND, SOURCE, 5353, 2000, UDP)
    await scene.is_silent(scene.payments, unknown, Counter.REFUSED_NO_ENDPOINT)


async def test_who_may_not_connect_is_told_nothing(scene: Scene) -> None:
    await scene.world.put(replace(scene.endpoint, allowed=(IPv4Network("10.0.0.8/30"),)))
    await scene.is_silent(scene.shop, STRAY)
    assert await scene.refused() == 1, "it is counted for the endpoint all the same"
    await scene.shop.send_ipv4(replace(STRAY, source=CLIENT, source_port=40001).pack())
    assert (await next_reset(scene.shop)).destination == CLIENT


async def test_nobody_is_told_where_the_service_does_not_ask_for_it(world: KernelWorld) -> None:
    scene = await make_scene(world, asked=False)
    await scene.is_silent(scene.shop, STRAY)
    await scene.is_silent(scene.payments, Segment(BACKEND, SOURCE, 8080, 2000, flags=ACK))
    await world.put(replace(scene.service, reset_expired=True))
    await scene.shop.send_ipv4(STRAY.pack())
    assert (await next_reset(scene.shop)).flags == RST


async def test_an_endpoint_that_has_had_its_share_of_answers_gets_no_more_for_now(scene: Scene) -> None:
    (slot,) = scene.world.dataplane._kernel.table.slots().values()
    answers = scene.world.dataplane._kernel._loaded.maps["answers"]
    answers.put(NUMBER.pack(slot), (1 << 62).to_bytes(8, "little"))
    await scene.is_silent(scene.shop, STRAY)


@pytest.mark.parametrize(
    ("family", "offloads", "size"), [(4, True, 16), (4, True, 1 << 16), (4, False, 1 << 16), (6, True, 1 << 16)]
)
async def test_a_connection_whose_session_expired_ends_at_once(
    world: KernelWorld, offloads: bool, size: int, family: int
) -> None:
    """At the client's own stack, also where it sends a long segment whose checksum is left to the device."""
    scene = await make_scene(world, family=family)
    for vpc in scene.vpcs:
        world.namespace(vpc).offload(offloads)
    client, backend, address = (CLIENT, BACKEND, ENDPOINT) if family == 4 else IPV6
    await world.serve(scene.vpcs[1], backend, 8080)
    conversation = await world.reaches(scene.vpcs[0], client, address, 80)
    assert isinstance(conversation, KernelConversation)
    assert isinstance(conversation.client, TcpClient)
    sessions = world.dataplane._kernel._loaded.maps["sessions" if family == 4 else "sessions6"]
    for key, _ in list(sessions.items()):
        sessions.delete(key)
    conversation.client.writer.write(bytes(size))
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(5):
            await conversation.client.reader.readexactly(size)
    for vpc in scene.vpcs:
        assert world.namespace(vpc).counter("Tcp", "InCsumErrors") == 0
