"""Backends read the true client from the SYN of a connection: TOA, as an unmodified server finds it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from ipaddress import ip_address
from struct import pack

import pytest

from services.gateway_agent.dataplane.maps import NUMBER, Counter, VpcDevice
from services.gateway_agent.table import ClientIdentity, Endpoint, PortMapping, Protocol, Service
from tests.dataplane.test_mss import options_of_next, with_options
from tests.support.sites import IN_EVERY_WAY
from tests.support.toa import ToaServer, ask, read_options
from tests.support.wire import ACK, IPV4, SYN, Segment, Wire, checksum, ethernet
from tests.support.worlds import ENDPOINT, WEB, KernelWorld, Vpc

pytestmark = pytest.mark.root

TOA = PortMapping(80, 8080, Protocol.TCP, ClientIdentity.TOA)
PLAIN = PortMapping(81, 8080, Protocol.TCP)
CLIENT, BACKEND, NOBODY = "10.0.0.10", "10.0.0.20", "10.0.0.77"
CLIENT6, BACKEND6, ENDPOINT6 = "fd00::10", "fd00::20", "fd00::100"
OPENING = Segment(NOBODY, ENDPOINT, 40000, 80)
NOTHING, END = b"\1", b"\0"


def toa(address: str = NOBODY, port: int = 40000) -> bytes:
    packed = ip_address(address).packed
    return bytes((254, 4 + len(packed))) + pack(">H", port) + packed


async def publish(world: KernelWorld, vpc: Vpc, server: str, *ports: PortMapping) -> Service:
    return await world.publish(vpc, server, ports=ports)


@IN_EVERY_WAY
@pytest.mark.parametrize(
    ("client", "server", "address"), [(CLIENT, BACKEND, ENDPOINT), (CLIENT6, BACKEND6, ENDPOINT6)], ids=["IPv4", "IPv6"]
)
async def test_a_server_reads_the_clients_address_and_port(
    world: KernelWorld, client: str, server: str, address: str
) -> None:
    world.ipv6 = ":" in client
    shop, payments = await world.vpc("shop", client), await world.vpc("payments", server)
    await world.lead(shop, await publish(world, payments, server, TOA, PLAIN), address)
    with closing(ToaServer.at(world.namespace(payments, server), server)) as ear:
        for offload, port, tells in ((True, 80, True), (False, 80, True), (True, 81, False)):
            world.namespace(shop, client).offload(offload)  # checksums are left to the device, or not
            told, asked = await asyncio.gather(ear.told(), ask(world.namespace(shop, client), client, (address, port)))
            assert told == (asked if tells else None)
    counts = await world.dataplane.counters()
    assert (counts[Counter.TOA_ADDED], counts[Counter.TOA_LEFT_OUT]) == (2, 0)
    assert world.namespace(payments, server).counter("Tcp", "InCsumErrors") == 0


@dataclass(slots=True)
class Scene:
    world: KernelWorld
    payments: Vpc
    endpoint: Endpoint
    service: Service
    clients: Wire
    backends: Wire

    async def options_after(self, options: bytes, **differences: int) -> bytes:
        """What has become of a SYN's TCP options where it came out; its checksum must be right."""
        await self.send(with_options(replace(OPENING, **differences), options))  # type: ignore[arg-type]
        return await options_of_next(self.backends)

    async def send(self, packet: bytes) -> None:
        await self.clients.send(ethernet(self.clients.gateway, self.clients.mac, IPV4, packet))

    async def counts(self) -> tuple[int, int]:
        counts = await self.world.dataplane.counters()
        return counts[Counter.TOA_ADDED], counts[Counter.TOA_LEFT_OUT]

    async def refuses(self, reason: Counter, packet: bytes) -> None:
        await self.world.counts_one(reason, self.send(packet))


@pytest.fixture
async def scene(world: KernelWorld) -> AsyncIterator[Scene]:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    service = await publish(world, payments, BACKEND, TOA, WEB_TOO)
    endpoint = await world.lead(shop, service)
    world.namespace(payments).ip("route", "delete", "198.19.128.0/17")  # nobody answers, and ends a session
    yield Scene(world, payments, endpoint, service, world.wire(shop), world.wire(payments))


WEB_TOO = replace(WEB, client_port=81)
MSS, TIMES = b"\2\4\5\xb4", b"\x08\x0a" + bytes(8)
LIE, LONGER = b"\x63\x06\0\0", b"\x63\x06\0\0\0\0"
HOSTILE: Mapping[str, tuple[bytes, bytes]] = {
    "none": (b"", b""),
    "the usual": (MSS + TIMES + NOTHING * 2, MSS + TIMES + NOTHING * 2),
    "the most that leave room": (NOTHING * 32, NOTHING * 32),
    "its own": (toa("192.0.2.1", 1), NOTHING * 8),
    "its own behind another": (MSS + toa("192.0.2.1", 1), MSS + NOTHING * 8),
    "its own twice, at odd places": (NOTHING + b"\xfe\3\0" + b"\xfe\4\0\0" + MSS, NOTHING * 8 + MSS),
    "the longest of its own": (b"\xfe\x20" + bytes(30), NOTHING * 32),
    "an end before": (MSS + END + b"\xfe\6\0\0" + NOTHING + END * 2, MSS + NOTHING * 8),
    "an end, as stacks pad": (MSS + TIMES + END * 2, MSS + TIMES + NOTHING * 2),
    "one that would reach into it": (MSS + LIE, MSS + NOTHING * 4),
    "one without length": (MSS + b"\x63\0\xfe\x08", MSS + NOTHING * 4),
    "one of length 1": (MSS + b"\x63\1\xfe\x08", MSS + NOTHING * 4),
    "a kind and no more": (MSS + NOTHING * 3 + b"\x63", MSS + NOTHING * 4),
    "another experiment's": (b"\xfd\4\xf9\x89" + LONGER + NOTHING * 2, b"\xfd\4\xf9\x89" + LONGER + NOTHING * 2),
}
"""Options of a client, and what is left of them before ours."""


async def test_a_client_cannot_say_that_it_is_somebody_else(scene: Scene) -> None:
    for number, (name, (sent, left)) in enumerate(HOSTILE.items(), 40000):
        came = await scene.options_after(sent, source_port=number)
        assert came == left + toa(port=number), name
        assert read_options(came)[254] == toa(port=number)[2:]
    assert await scene.counts() == (len(HOSTILE), 0)


async def test_one_that_leaves_no_room_for_the_option_cannot_either(scene: Scene) -> None:
    own = toa("192.0.2.1", 1)
    assert await scene.options_after(NOTHING * 36, source_port=1) == NOTHING * 36
    assert await scene.options_after(own + NOTHING * 32, source_port=2) == NOTHING * 40
    assert await scene.options_after(MSS + NOTHING * 28 + own, source_port=3) == MSS + NOTHING * 36
    assert await scene.counts() == (0, 3)


async def test_a_syn_with_data_goes_without_the_option(scene: Scene) -> None:
    payload, own = b"GET / HTTP/1.1", toa("192.0.2.1", 1)
    header = with_options(OPENING, own)
    await scene.send(with_payload(header, payload))
    frame = await next_frame(scene.backends)
    assert frame[54:62] == NOTHING * 8, "nor with one of its own"
    assert frame[62:] == payload
    assert checksums_are_right(frame)
    assert await scene.counts() == (0, 1)


async def test_a_syn_that_is_said_again_has_it_again_and_nothing_else_has(scene: Scene) -> None:
    assert await scene.options_after(MSS) == MSS + toa()
    assert await scene.options_after(MSS) == MSS + toa()
    own = toa("192.0.2.1", 1)
    assert await scene.options_after(own, flags=ACK) == own, "who reads other segments reads the client's words"
    assert await scene.options_after(own, destination_port=81) == own, "a port without TOA has its options as they are"
    assert await scene.counts() == (2, 0)


async def test_a_syn_that_an_ethernet_has_padded_gets_it_where_it_ends(scene: Scene) -> None:
    await scene.send(OPENING.pack() + b"\xee" * 6)
    frame = await next_frame(scene.backends)
    assert frame[54:] == toa(), "and the padding is gone"
    assert checksums_are_right(frame)


async def test_sessions_have_it_that_began_while_the_port_told_of_clients(scene: Scene) -> None:
    plain = replace(scene.service, ports=(replace(TOA, identity=ClientIdentity.NONE), WEB_TOO))
    assert await scene.options_after(b"", source_port=1) == toa(port=1)
    await scene.world.put(plain)
    assert await scene.options_after(b"", source_port=1) == toa(port=1)
    assert await scene.options_after(b"", source_port=2) == b""
    await scene.world.put(scene.service)
    own = toa("192.0.2.1", 1)
    assert await scene.options_after(own, source_port=2, flags=ACK) == own, "it goes on as it began"
    assert await scene.options_after(b"", source_port=3) == toa(port=3)


async def test_a_session_from_before_the_port_told_of_clients_opens_no_connection_with_the_clients_words(
    scene: Scene,
) -> None:
    """A backend that was silent, or has started anew, takes a SYN in it for a new connection."""
    await scene.world.put(replace(scene.service, ports=(replace(TOA, identity=ClientIdentity.NONE), WEB_TOO)))
    own = toa("192.0.2.1", 1)
    assert await scene.options_after(own) == own
    await scene.world.put(scene.service)
    assert await scene.options_after(own) == NOTHING * 8 + toa()
    await scene.world.put(replace(scene.service, ports=(replace(TOA, identity=ClientIdentity.PROXY), WEB_TOO)))
    await scene.refuses(Counter.REFUSED_NO_PROXY, OPENING.pack())


async def test_the_way_out_must_carry_it_with_the_option(scene: Scene) -> None:
    number = NUMBER.pack(scene.world.device_number(scene.payments))
    device = VpcDevice.unpack(scene.world.maps.vpcs.get(number) or b"")
    for mtu, passes in ((72, True), (71, False)):
        scene.world.maps.vpcs.put(number, replace(device, mtu=mtu, local_peer=False).pack())
        packet = with_options(replace(OPENING, source_port=mtu), MSS + TIMES + NOTHING * 10)
        assert len(packet) == 64
        if passes:
            await scene.world.counts_one(Counter.FORWARDED, scene.send(packet))
        else:
            await scene.refuses(Counter.REFUSED_TOO_LONG, packet)


async def test_a_syn_in_fragments_goes_without_it_and_without_the_clients_own(scene: Scene) -> None:
    own = toa("192.0.2.1", 1)
    packet = bytearray(with_payload(with_options(OPENING, own + NOTHING * 4), b"x" * 16))
    first = bytearray(packet[: 20 + 40])
    first[2:4] = pack(">H", len(first))
    first[6:8] = pack(">H", 0x2000)
    first[10:12] = bytes(2)
    first[10:12] = pack(">H", checksum(bytes(first[:20])))
    await scene.send(bytes(first))
    frame = await next_frame(scene.backends)
    assert frame[54:66] == NOTHING * 12
    assert await scene.counts() == (0, 1)


async def test_a_syn_that_is_shorter_than_it_says_is_refused(scene: Scene) -> None:
    packet = bytearray(OPENING.pack())
    packet[32] = 0xF0
    await scene.refuses(Counter.REFUSED_MALFORMED, bytes(packet))


def with_payload(packet: bytes, payload: bytes) -> bytes:
    whole = bytearray(packet + payload)
    whole[2:4] = pack(">H", len(whole))
    whole[10:12] = bytes(2)
    whole[10:12] = pack(">H", checksum(bytes(whole[:20])))
    whole[36:38] = bytes(2)
    pseudo = whole[12:20] + pack(">HH", 6, len(whole) - 20)
    whole[36:38] = pack(">H", checksum(bytes(pseudo + whole[20:])))
    return bytes(whole)


async def next_frame(wire: Wire) -> bytes:
    """The next SYN that came out."""
    while True:
        frame = await wire.receive()
        if frame[12:14] == pack(">H", IPV4) and frame[23] == 6 and frame[47] & SYN:
            return frame


def checksums_are_right(frame: bytes) -> bool:
    header, segment = frame[14:34], frame[34:]
    pseudo = header[12:20] + pack(">HH", 6, len(segment))
    return int.from_bytes(header[2:4], "big") == len(frame) - 14 and not checksum(header) + checksum(pseudo + segment)
