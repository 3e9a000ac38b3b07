"""Connections begin with segments that the devices on their way carry; nothing else about them is changed."""

from dataclasses import dataclass, replace
from struct import pack

import pytest

from services.gateway_agent.dataplane.maps import NUMBER, VpcDevice
from tests.support import namespaces
from tests.support.wire import ACK, IPV4, RST, SYN, Segment, Wire, checksum, ethernet
from tests.support.worlds import ENDPOINT, KernelWorld, Vpc

pytestmark = pytest.mark.root

NOBODY, BACKEND = "10.0.0.77", "10.0.0.20"
OPENING = Segment(NOBODY, ENDPOINT, 40000, 80)
NOTHING, END = b"\1", b"\0"
TIMESTAMP = b"\x08\x0a" + bytes(8)


def mss(value: int) -> bytes:
    return b"\2\4" + pack(">H", value)


OPTIONS: dict[str, tuple[bytes, bytes]] = {
    "it alone": (mss(1460), mss(1360)),
    "the most there is": (mss(65535), mss(1360)),
    "one byte too many": (mss(1361), mss(1360)),
    "just as much": (mss(1360), mss(1360)),
    "less": (mss(536), mss(536)),
    "no options": (b"", b""),
    "in the middle of a word": (NOTHING + mss(1460) + NOTHING * 3, NOTHING + mss(1360) + NOTHING * 3),
    "the last": (NOTHING * 2 + TIMESTAMP + mss(9000), NOTHING * 2 + TIMESTAMP + mss(1360)),
    "the last of the longest": (NOTHING * 36 + mss(1460), NOTHING * 36 + mss(1360)),
    "after the end": (END + mss(1460) + NOTHING * 3, END + mss(1460) + NOTHING * 3),
    "of a wrong length": (b"\2\3\xff\xff", b"\2\3\xff\xff"),
    "after one without length": (b"\x08\0" + mss(1460) + b"\0\0", b"\x08\0" + mss(1460) + b"\0\0"),
    "after one that is too long": (b"\x08\xff\0\0" + mss(1460), b"\x08\xff\0\0" + mss(1460)),
    "cut short": (NOTHING + b"\2\4\xff", NOTHING + b"\2\4\xff"),
}
"""What a SYN says before and after, where 1,360 bytes are the most."""


@dataclass(slots=True)
class Scene:
    world: KernelWorld
    vpcs: tuple[Vpc, Vpc]
    shop: Wire
    payments: Wire

    def carries(self, vpc: Vpc, mtu: int) -> None:
        """As if its device had been found with this MTU."""
        number = NUMBER.pack(self.world.device_number(vpc))
        device = VpcDevice.unpack(self.world.maps.vpcs.get(number) or b"")
        self.world.maps.vpcs.put(number, replace(device, mtu=mtu).pack())

    async def options_after(self, options: bytes, flags: int = SYN, port: int = 40000) -> bytes:
        """What has become of a segment's TCP options where it came out; its checksum must be right."""
        segment = with_options(replace(OPENING, flags=flags, source_port=port), options)
        await self.shop.send(ethernet(self.shop.gateway, self.shop.mac, IPV4, segment))
        return await options_of_next(self.payments)


def with_options(segment: Segment, options: bytes) -> bytes:
    """The packet with these TCP options; their length is a multiple of 4."""
    packet = bytearray(segment.pack())
    tcp = packet[20:] + options
    tcp[12] = (5 + len(options) // 4) << 4
    tcp[16:18] = bytes(2)
    tcp[16:18] = pack(">H", checksum(bytes(packet[12:20] + pack(">HH", 6, len(tcp)) + tcp)))
    packet[2:4] = pack(">H", 20 + len(tcp))
    packet[10:12] = bytes(2)
    packet[10:12] = pack(">H", checksum(bytes(packet[:20])))
    return bytes(packet[:20] + tcp)


async def options_of_next(wire: Wire) -> bytes:
    while True:
        frame = await wire.receive()
        packet = frame[14:]
        if int.from_bytes(frame[12:14], "big") == IPV4 and packet[9] == 6:
            tcp = packet[20 : int.from_bytes(packet[2:4], "big")]
            assert checksum(packet[12:20] + pack(">HH", 6, len(tcp)) + tcp) == 0
            assert checksum(packet[:20]) == 0
            return tcp[20:]


@pytest.fixture
async def scene(world: KernelWorld) -> Scene:
    shop, payments = await world.vpc("shop", "10.0.0.10"), await world.vpc("payments", BACKEND)
    await world.lead(shop, await world.publish(payments, BACKEND))
    world.namespace(payments).ip("route", "delete", "198.19.128.0/17")
    return Scene(world, (shop, payments), world.wire(shop), world.wire(payments))


async def test_a_syn_tells_no_more_than_both_devices_carry(scene: Scene) -> None:
    scene.carries(scene.vpcs[1], 1400)
    for port, (name, (before, after)) in enumerate(OPTIONS.items(), 40000):
        assert await scene.options_after(before, port=port) == after, name


async def test_the_smaller_of_both_counts_and_an_unknown_one_does_not(scene: Scene) -> None:
    shop, payments = scene.vpcs
    told = {}
    for port, mtus in enumerate([(1400, 1450), (1450, 1400), (0, 1300), (1300, 0), (0, 0), (1500, 9000), (40, 40)]):
        scene.carries(shop, mtus[0])
        scene.carries(payments, mtus[1])
        options = await scene.options_after(mss(8960), port=40000 + port)
        told[mtus] = int.from_bytes(options[2:], "big")
    assert told == {
        (1400, 1450): 1360,
        (1450, 1400): 1360,
        (0, 1300): 1260,
        (1300, 0): 1260,
        (0, 0): 8960,
        (1500, 9000): 1460,
        (40, 40): 8960,
    }


async def test_the_answer_to_a_syn_is_held_to_it_and_nothing_else_is(scene: Scene) -> None:
    scene.carries(scene.vpcs[1], 1400)
    await scene.shop.send_ipv4(OPENING.pack())
    frame = await scene.payments.receive()
    while frame[23] != 6:
        frame = await scene.payments.receive()
    port = int.from_bytes(frame[34:36], "big")
    reply = Segment(BACKEND, "198.19.128.7", 8080, port, flags=SYN | ACK)
    await scene.payments.send_ipv4(with_options(reply, mss(1460)))
    assert await options_of_next(scene.shop) == mss(1360)
    await scene.payments.send_ipv4(with_options(replace(reply, flags=ACK), mss(1460)))
    assert await options_of_next(scene.shop) == mss(1460)
    assert await scene.options_after(mss(1460), ACK) == mss(1460)
    assert await scene.options_after(mss(1460), RST | ACK) == mss(1460)


@pytest.mark.parametrize(("family", "offloads"), [(4, True), (4, False), (6, True)])
async def test_real_connections_are_held_to_the_mtu_of_a_veth(world: KernelWorld, family: int, offloads: bool) -> None:
    world.ipv6 = family == 6
    client, backend, address = (
        ("10.0.0.10", BACKEND, ENDPOINT) if family == 4 else ("fd00::10", "fd00::20", "fd00::100")
    )
    shop, payments = await world.vpc("shop", client), await world.vpc("payments", backend)
    for vpc in (shop, payments):
        world.namespace(vpc).ip("link", "set", namespaces.DEVICE, "mtu", "4000")
        world.namespace(vpc).offload(offloads)
    await world.serve(payments, backend, 8080)
    await world.lead(shop, await world.publish(payments, backend), address)
    wire, ip = world.wire(payments), 20 if family == 4 else 40
    await world.reaches(shop, client, address, 80)
    while True:
        tcp = (await wire.receive())[14 + ip :]
        if tcp[2:4] == pack(">H", 8080) and tcp[13] == SYN:
            break
    assert tcp[20:24] == mss(1500 - ip - 20)
    for vpc in (shop, payments):
        assert world.namespace(vpc).counter("Tcp", "InCsumErrors") == 0
