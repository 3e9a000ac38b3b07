"""Datagrams in pieces: they arrive whole, and pieces that say nothing of whose they are pass nowhere."""

import asyncio
import os
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from services.common.clock import SECOND
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.table import Endpoint
from tests.support.sites import IN_EVERY_WAY
from tests.support.wire import IPV4, TCP, UDP, Segment, Wire, checksum
from tests.support.worlds import DNS, ENDPOINT, SOURCE, WEB, KernelConversation, KernelWorld

pytestmark = pytest.mark.root

CLIENT, NOBODY, BACKEND = "10.0.0.10", "10.0.0.77", "10.0.0.20"
WHOLE = Segment(NOBODY, ENDPOINT, 40000, 53, UDP, payload=bytes(range(56)))  # of 64 bytes with its header
MORE, LONGEST_OFFSET = 0x2000, 0x1FFF
MOST = 16384  # datagrams of which something is left behind


@dataclass(frozen=True, slots=True)
class Piece:
    """A fragment as it came out; the checksum of its header is right."""

    source: str
    destination: str
    id: int
    more: bool
    offset: int
    ttl: int
    payload: bytes


@dataclass(slots=True)
class Scene:
    world: KernelWorld
    endpoint: Endpoint
    shop: Wire
    payments: Wire

    async def passes(self, *fragments: bytes) -> list[Piece]:
        for fragment in fragments:
            await self.world.counts_one(Counter.FRAGMENT_FORWARDED, self.shop.send_ipv4(fragment))
        return [await next_piece(self.payments) for _ in fragments]

    async def is_refused(
        self, fragment: bytes, reason: Counter = Counter.REFUSED_FRAGMENT, at: Wire | None = None
    ) -> None:
        before = (await self.world.dataplane.counters())[Counter.FRAGMENT_FORWARDED]
        await self.world.counts_one(reason, (at or self.shop).send_ipv4(fragment))
        assert (await self.world.dataplane.counters())[Counter.FRAGMENT_FORWARDED] == before


def cut(packet: bytes, *sizes: int, number: int = 7, ttl: int = 64) -> list[bytes]:
    """The payload of an IPv4 packet as fragments of these sizes, which are multiples of 8, and one with the rest."""
    payload, pieces, start = packet[20:], [], 0
    ends = [*(sum(sizes[: place + 1]) for place in range(len(sizes))), len(payload)]
    for end in ends:
        pieces.append(piece_of(packet, start, payload[start:end], more=end < len(payload), number=number, ttl=ttl))
        start = end
    return pieces


def piece_of(packet: bytes, offset: int, payload: bytes, *, more: bool, number: int = 7, ttl: int = 64) -> bytes:
    header = bytearray(packet[:20])
    header[2:4] = (20 + len(payload)).to_bytes(2, "big")
    header[4:6] = number.to_bytes(2, "big")
    header[6:8] = (MORE * more | offset // 8).to_bytes(2, "big")
    header[8] = ttl
    header[10:12] = bytes(2)
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + payload


async def next_piece(wire: Wire) -> Piece:
    while True:
        frame = await wire.receive()
        packet, place = frame[14:], int.from_bytes(frame[20:22], "big")
        if int.from_bytes(frame[12:14], "big") == IPV4 and place & (MORE | LONGEST_OFFSET):
            break
    assert checksum(packet[:20]) == 0
    total, number = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[4:6], "big")
    ends = str(IPv4Address(packet[12:16])), str(IPv4Address(packet[16:20]))
    return Piece(*ends, number, bool(place & MORE), (place & LONGEST_OFFSET) * 8, packet[8], packet[20:total])


def joined(pieces: list[Piece]) -> Segment:
    """The datagram that they were, after a look that they belong together and its checksum is right."""
    assert len({(piece.source, piece.destination, piece.id) for piece in pieces}) == 1
    whole = b"".join(piece.payload for piece in sorted(pieces, key=lambda piece: piece.offset))
    ports = int.from_bytes(whole[0:2], "big"), int.from_bytes(whole[2:4], "big")
    segment = Segment(pieces[0].source, pieces[0].destination, *ports, UDP, payload=whole[8:])
    assert segment.pack()[20:] == whole
    return segment


@pytest.fixture
async def scene(world: KernelWorld) -> Scene:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    endpoint = await world.lead(shop, await world.publish(payments, BACKEND, ports=(WEB, DNS)))
    world.namespace(payments).ip("route", "delete", "198.19.128.0/17")
    return Scene(world, endpoint, world.wire(shop), world.wire(payments))


@IN_EVERY_WAY
@pytest.mark.parametrize("offloads", [True, False], ids=["offloads on", "offloads off"])
async def test_datagrams_longer_than_a_packet_pass_both_ways(world: KernelWorld, offloads: bool) -> None:
    """Stacks cut them and join them, and look at the checksum of the whole."""
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    for vpc in (shop, payments):
        for space in world.site(vpc).spaces:
            space.offload(offloads)
    await world.serve(payments, BACKEND, 5353, protocol=DNS.protocol)
    await world.lead(shop, await world.publish(payments, BACKEND, ports=(DNS,)))
    conversation = await world.reaches(shop, CLIENT, ENDPOINT, 53, DNS.protocol)
    assert isinstance(conversation, KernelConversation)
    for size in (4000, 1473, 9000, 60000):
        assert await conversation.client.echoes(os.urandom(size)), f"{size} bytes were lost"
    assert (await world.dataplane.counters())[Counter.REFUSED_FRAGMENT] == 0
    for vpc in (shop, payments):
        assert sum(space.counter("Udp", "InCsumErrors") for space in world.site(vpc).spaces) == 0
        assert sum(space.counter("Ip", "ReasmFails") for space in world.site(vpc).spaces) == 0


async def test_pieces_follow_the_first_in_any_order(scene: Scene) -> None:
    first, *others = cut(WHOLE.pack(), 16, 8, 8, 16)
    pieces = await scene.passes(first, *reversed(others), others[1])
    assert {piece.ttl for piece in pieces} == {63}
    whole = joined(pieces[:-1])
    assert (whole.source, whole.destination, whole.destination_port) == (SOURCE, BACKEND, 5353)
    assert whole.payload == WHOLE.payload
    reply = Segment(BACKEND, SOURCE, 5353, whole.source_port, UDP, payload=WHOLE.payload)
    for piece in cut(reply.pack(), 24):
        await scene.payments.send_ipv4(piece)
    answer = joined([await next_piece(scene.shop) for _ in range(2)])
    assert (answer.source, answer.destination, answer.destination_port) == (ENDPOINT, NOBODY, 40000)
    passed = (await scene.world.dataplane.traffic())[scene.endpoint.id]
    assert (passed.packets_in, passed.bytes_in) == (6, 64 + 8 + 6 * 20), "each piece counts, the repeated one too"


async def test_clients_cannot_tell_which_id_another_has(scene: Scene) -> None:
    """Two with the same id at once: behind one source they would be joined with each other's pieces."""
    one, two = (cut(replace(WHOLE, source_port=port).pack(), 16) for port in (40000, 40001))
    other = cut(replace(WHOLE, source="10.0.0.78").pack(), 16)
    first = await scene.passes(*one)
    assert (await scene.passes(one[0]))[0].id == first[0].id, "a piece that is sent again has the same"
    ids = {first[0].id, (await scene.passes(*other))[0].id}
    ids |= {(await scene.passes(*cut(replace(WHOLE, source="10.0.0.79").pack(), 16)))[0].id}
    assert len(ids) > 1
    assert joined(await scene.passes(*two)).payload == WHOLE.payload


async def test_a_piece_without_its_first_passes_nowhere(scene: Scene) -> None:
    first, second = cut(WHOLE.pack(), 16)
    await scene.is_refused(second)
    await scene.passes(first)
    await scene.passes(second)
    await scene.is_refused(cut(WHOLE.pack(), 16, number=8)[1])
    await scene.is_refused(cut(replace(WHOLE, source="10.0.0.78").pack(), 16)[1])
    await scene.is_refused(cut(replace(WHOLE, destination="10.0.0.101").pack(), 16)[1])
    await scene.is_refused(cut(replace(WHOLE, protocol=TCP).pack(), 24)[1])
    other = scene.world.wire(await scene.world.vpc("other", CLIENT))
    await scene.is_refused(second, at=other)
    await scene.is_refused(second, at=scene.payments)


async def test_pieces_that_are_meant_to_mislead_pass_nowhere(scene: Scene) -> None:
    whole = WHOLE.pack()
    await scene.is_refused(piece_of(whole, 0, whole[20:24], more=True))
    await scene.is_refused(piece_of(whole, 0, whole[20:31], more=True))
    segment = replace(WHOLE, protocol=TCP, destination_port=80).pack()
    await scene.is_refused(piece_of(segment, 0, segment[20:36], more=True))
    await scene.passes(piece_of(segment, 0, segment[20:44], more=True))
    await scene.is_refused(piece_of(segment, 8, bytes(16), more=True))
    await scene.is_refused(piece_of(segment, 16, bytes(16), more=False))
    await scene.passes(piece_of(segment, 24, segment[44:60], more=True))
    await scene.is_refused(piece_of(segment, 65528, bytes(8), more=False))
    await scene.is_refused(piece_of(segment, 24, b"", more=False))
    await scene.is_refused(piece_of(replace(WHOLE, protocol=1).pack(), 0, bytes(8), more=True))
    await scene.is_refused(piece_of(whole, 0, whole[20:36], more=True, ttl=1), Counter.REFUSED_TTL)
    unpublished = replace(WHOLE, destination_port=54).pack()
    await scene.is_refused(cut(unpublished, 16)[0], Counter.REFUSED_NO_PORT)
    await scene.is_refused(cut(unpublished, 16)[1])


async def test_pieces_end_with_what_the_first_was_let_in_by(scene: Scene) -> None:
    first, second = cut(WHOLE.pack(), 16)
    await scene.passes(first, second)
    await scene.world.put(replace(scene.endpoint, allowed=(IPv4Network("10.0.0.8/30"),)))
    await scene.is_refused(second, Counter.REFUSED_NOT_ALLOWED)
    await scene.world.put(scene.endpoint)
    await scene.passes(first, second)
    await scene.world.put(replace(scene.endpoint, draining_until=1))
    await scene.is_refused(second, Counter.REFUSED_STALE_EPOCH)
    await scene.world.put(scene.endpoint)
    await scene.passes(first, second)
    await scene.world.put(replace(scene.endpoint, admission=2))
    await scene.is_refused(second, Counter.REFUSED_STALE_EPOCH)
    await scene.passes(first, second)
    await scene.world.remove(scene.endpoint)
    await scene.is_refused(second, Counter.REFUSED_STALE_EPOCH)


async def test_a_flood_of_first_pieces_is_bounded_and_later_ones_of_others_are_refused_at_worst(scene: Scene) -> None:
    first, _ = cut(WHOLE.pack(), 16)
    await scene.passes(first)
    for number in range(MOST + 4096):
        flood = piece_of(first, 0, first[20:], more=True, number=number & 0xFFFF)
        await scene.shop.send_ipv4(flood)
    fragments = scene.world.dataplane._kernel._loaded.maps["fragments"]
    assert sum(1 for _ in fragments.items()) <= MOST
    fresh, rest = cut(replace(WHOLE, source="10.0.0.78").pack(), 16)
    before = (await scene.world.dataplane.counters())[Counter.FRAGMENT_FORWARDED]
    await scene.shop.send_ipv4(fresh)
    await scene.shop.send_ipv4(rest)
    async with asyncio.timeout(5):
        while (await scene.world.dataplane.counters())[Counter.FRAGMENT_FORWARDED] < before + 2:
            await asyncio.sleep(0)


async def test_what_a_first_piece_left_goes_with_time(scene: Scene) -> None:
    first, second = cut(WHOLE.pack(), 16)
    await scene.passes(first)
    fragments = scene.world.dataplane._kernel._loaded.maps["fragments"]
    ((key, value),) = fragments.items()
    until = int.from_bytes(value[16:24], "little")
    fragments.put(key, value[:16] + (until - 31 * SECOND).to_bytes(8, "little") + value[24:])
    await scene.is_refused(second)
