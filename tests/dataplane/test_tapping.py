"""Packets of one endpoint taken on both sides of the gateway, in every way in which VPCs are attached."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import unpack

import pytest

from services.gateway_agent.captures import LONGEST_SNAP, Capture, Captured, Side
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.dataplane.tapping import Tapping
from services.gateway_agent.table import Endpoint
from tests.support.sites import IN_EVERY_WAY
from tests.support.wire import IPV4, SYN, UDP, Segment, Wire, ethernet
from tests.support.worlds import DNS, ENDPOINT, SOURCE, WEB, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, BACKEND, OTHER, OTHER_SOURCE = "10.0.0.10", "10.0.0.20", "10.0.0.101", "198.19.128.8"
DEADLINE = 10.0
ADDRESSES = slice(26, 34)


@dataclass(slots=True)
class Scene:
    world: KernelWorld
    shop: Wire
    payments: Wire
    endpoint: Endpoint
    other: Endpoint
    consumer: Vpc

    def capture(self, endpoint: Endpoint, snap: int = LONGEST_SNAP) -> Capture:
        capture = self.world.dataplane.capture(endpoint.id, snap)
        assert capture is not None
        return capture


@pytest.fixture
async def scene(world: KernelWorld) -> AsyncIterator[Scene]:
    """Two endpoints of one consumer lead to one service; neither end's stack answers anything by itself."""
    shop, payments = await world.vpc("shop"), await world.vpc("payments", BACKEND)
    service = await world.publish(payments, BACKEND, ports=(WEB, DNS))
    endpoint = await world.lead(shop, service)
    other = await world.lead(shop, service, OTHER, OTHER_SOURCE)
    for space in world.site(payments).spaces:
        space.ip("route", "delete", "198.19.128.0/17")
    yield Scene(world, world.wire(shop), world.wire(payments), endpoint, other, shop)


async def take(capture: Capture, count: int) -> list[Captured]:
    taken: list[Captured] = []
    async with asyncio.timeout(DEADLINE):
        while len(taken) < count:
            taken += await capture.batch()
    return taken


def addresses(packet: Captured) -> tuple[str, str]:
    source, target = unpack("!4s4s", packet.data[ADDRESSES])
    return str(IPv4Address(source)), str(IPv4Address(target))


def seen(packets: Sequence[Captured]) -> dict[tuple[int, bool], Captured]:
    return {(packet.device, packet.outbound): packet for packet in packets}


@IN_EVERY_WAY
async def test_a_packet_there_and_one_back_are_seen_coming_in_and_going_out(scene: Scene) -> None:
    there = Segment(CLIENT, ENDPOINT, 40000, 53, UDP, payload=b"question").pack()
    with_other = Segment(CLIENT, OTHER, 40001, 53, UDP, payload=b"another's").pack()
    capture = scene.capture(scene.endpoint)
    try:
        assert [device.side for device in capture.devices] == [Side.CONSUMER, Side.PROVIDER]
        assert [device.filter for device in capture.devices] == [f"host {ENDPOINT}", f"host {SOURCE}"]
        await scene.shop.send_ipv4(with_other)
        await scene.shop.send_ipv4(there)
        first = await take(capture, 2)
        port = int.from_bytes(seen(first)[1, True].data[34:36], "big")
        back = Segment(BACKEND, SOURCE, 5353, port, UDP, payload=b"answer").pack()
        await scene.payments.send_ipv4(back)
        packets = seen([*first, *await take(capture, 2)])
        assert {place: addresses(packet) for place, packet in packets.items()} == {
            (0, False): (CLIENT, ENDPOINT),
            (1, True): (SOURCE, BACKEND),
            (1, False): (BACKEND, SOURCE),
            (0, True): (ENDPOINT, CLIENT),
        }
        # What comes in is what was sent, to the byte; what goes out has another hop and other addresses.
        assert packets[0, False].data == ethernet(scene.shop.gateway, scene.shop.mac, IPV4, there)
        assert packets[1, False].data == ethernet(scene.payments.gateway, scene.payments.mac, IPV4, back)
        assert packets[0, True].data.endswith(b"answer")
        assert packets[1, True].data.endswith(b"question")
        moments = [packets[place].at for place in ((0, False), (1, False))]
        assert moments == sorted(moments)
        assert capture.dropped() == 0
    finally:
        capture.close()


async def test_what_is_refused_is_seen_coming_in_and_not_going_out(scene: Scene) -> None:
    capture = scene.capture(scene.endpoint, snap=40)
    try:
        await scene.shop.send_ipv4(Segment(CLIENT, ENDPOINT, 40000, 81, flags=SYN).pack())
        await scene.shop.send_ipv4(Segment(CLIENT, ENDPOINT, 40000, 53, UDP, payload=bytes(500)).pack())
        packets = await take(capture, 3)
        assert [(packet.device, packet.outbound) for packet in packets if packet.device == 0] == [(0, False)] * 2
        assert [(len(packet.data), packet.length) for packet in packets if packet.length > 500] == [(40, 542)] * 2
    finally:
        capture.close()


async def test_a_side_that_is_read_late_is_not_behind_the_other(scene: Scene) -> None:
    """A capture of so many packets ended with those of one side, where its reader was held up between the two."""
    capture = scene.capture(scene.endpoint)
    assert isinstance(capture, Tapping)
    try:
        consumers_side, _ = capture._taps
        asyncio.get_running_loop().remove_reader(consumers_side.socket)
        await scene.shop.send_ipv4(Segment(CLIENT, ENDPOINT, 40000, 53, UDP, payload=b"question").pack())
        async with asyncio.timeout(DEADLINE):
            packets = await capture.batch()
        assert [(packet.device, packet.outbound) for packet in packets] == [(0, False), (1, True)]
    finally:
        capture.close()


async def test_arp_about_the_endpoint_is_seen(scene: Scene) -> None:
    capture = scene.capture(scene.endpoint)
    try:
        scene.world.add_hosts(scene.consumer, CLIENT)
        await scene.world.connect(scene.consumer, CLIENT, ENDPOINT, 81, patience=0.1)
        packets = await take(capture, 2)
        arp = [packet for packet in packets if packet.data[12:14] == b"\x08\x06"]
        assert [packet.outbound for packet in arp][:2] == [False, True]
    finally:
        capture.close()


async def test_consumer_and_provider_in_one_vpc_are_one_device(world: KernelWorld) -> None:
    both = await world.vpc("both", CLIENT, BACKEND)
    await world.serve(both, BACKEND, 8080)
    endpoint = await world.lead(both, await world.publish(both, BACKEND))
    capture = world.dataplane.capture(endpoint.id, LONGEST_SNAP)
    assert capture is not None
    try:
        assert [device.side for device in capture.devices] == [Side.BOTH]
        await world.reaches(both, CLIENT, ENDPOINT, 80)
        packets = [packet for packet in await take(capture, 8) if packet.data[12:14] == b"\x08\x00"]
        ways = {(packet.outbound, *addresses(packet)) for packet in packets}
        assert {(False, CLIENT, ENDPOINT), (True, SOURCE, BACKEND)} <= ways
    finally:
        capture.close()


async def test_a_capture_ends_when_the_namespace_goes_and_does_not_hold_it(scene: Scene) -> None:
    capture = scene.capture(scene.endpoint)
    try:
        scene.world.lose(scene.consumer)
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(NotReady):
                while True:
                    await capture.batch()
    finally:
        capture.close()
    while scene.consumer.attachment.key not in scene.world.dataplane.difficulties():
        await scene.world.dataplane.wait_for_news()
    with pytest.raises(NotReady):
        scene.world.dataplane.capture(scene.endpoint.id, LONGEST_SNAP)


async def test_an_endpoint_that_is_not_there_has_no_packets(scene: Scene) -> None:
    await scene.world.remove(scene.endpoint)
    assert scene.world.dataplane.capture(scene.endpoint.id, LONGEST_SNAP) is None


async def test_what_nobody_reads_is_dropped_and_counted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway_agent.dataplane.tapping.MOST_WAITING", 10)
    capture = scene.capture(scene.endpoint)
    try:
        for number in range(50):
            await scene.shop.send_ipv4(Segment(CLIENT, ENDPOINT, 40000 + number, 81, flags=SYN).pack())
        async with asyncio.timeout(DEADLINE):
            while capture.dropped() < 40:
                await asyncio.sleep(0)
        assert len(await capture.batch()) == 10
        assert capture.dropped() == 40
    finally:
        capture.close()
