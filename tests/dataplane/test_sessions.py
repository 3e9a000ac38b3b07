"""The life of sessions in the kernel's map: how they begin, when they are over, and how they share what is scarce."""

import asyncio
import os
import threading
from collections import Counter as Tally
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from struct import pack

import pytest

from services.common.clock import SECOND
from services.gateway_agent.dataplane.maps import PROTOCOL_NUMBERS, Counter
from services.gateway_agent.dataplane.session_maps import Direction, SessionValue, Tuple
from services.gateway_agent.dataplane.sessions import Swept
from services.gateway_agent.table import Endpoint, Service
from tests.support.tables import backends
from tests.support.wire import ACK, FIN, IPV4, RST, SYN, UDP, Segment, Wire, ethernet
from tests.support.worlds import DNS, ENDPOINT, PATIENCE, SESSIONS, WEB, KernelWorld, kernel_world

pytestmark = pytest.mark.root

NOBODY = "10.0.0.77"  # an address of the consumer's network whose stack answers nothing, as it is not its own
BACKENDS = ("10.0.0.20", "10.0.0.21", "10.0.0.22")
IN_AN_AGE = 4_000_000_000 * SECOND  # nanoseconds since the epoch
NOW = 100_000  # seconds of the clock by which sessions are judged here
OPENING = Segment(NOBODY, ENDPOINT, 40000, 80)


@dataclass(slots=True)
class Scene:
    world: KernelWorld
    endpoint: Endpoint
    service: Service
    shop: Wire
    payments: Wire

    async def send(self, segment: Segment) -> None:
        """From the consumer, and until the program has seen it."""
        await self._send(self.shop, segment)

    async def reply(self, segment: Segment, flags: int = 0) -> None:
        """From the backend, to what came out of the consumer's `segment`."""
        at_provider = next(each.other for each in self.sessions() if each.key[8:10] == pack(">H", segment.source_port))
        backend, seen_as, port, seen_port, _, protocol = Tuple.unpack(at_provider)
        number = PROTOCOL_NUMBERS[protocol]
        await self._send(self.payments, Segment(str(backend), str(seen_as), port, seen_port, number, flags))

    async def send_all(self, segments: Iterable[Segment]) -> None:
        before = await self._seen()
        sent = 0
        for segment in segments:
            await self.shop.send_ipv4(segment.pack())
            sent += 1
        assert await self._seen() == before + sent, "a packet of the test got lost on its way to the program"

    def entries(self) -> dict[bytes, SessionValue]:
        return {key: SessionValue.unpack(value) for key, value in self.world.maps.sessions.items()}

    def sessions(self) -> list[SessionValue]:
        """The consumer's entry of each, after a look that the provider's is there and says the same."""
        entries = self.entries()
        for key, entry in entries.items():
            assert entry.key == key
            assert entries[entry.other].other == key
        return [entry for entry in entries.values() if entry.direction == Direction.FROM_CONSUMER]

    def age(self, seconds: int, *directions: Direction) -> None:
        """Makes entries of these directions (or all) last seen so long before `collect`'s now."""
        for key, value in list(self.world.maps.sessions.items()):
            entry = SessionValue.unpack(value)
            if entry.direction in (directions or tuple(Direction)):
                self.world.maps.sessions.put(key, entry._replace(last_seen=NOW - seconds, tick=0).pack())

    def collect(self) -> int:
        swept = Swept()
        for sweeper in self.world.dataplane._kernel.sweepers:
            sweeper.sweep(swept, lambda: None, NOW * SECOND)
        return swept.removed

    async def count(self, counter: Counter) -> int:
        return (await self.world.dataplane.counters())[counter]

    async def _send(self, wire: Wire, segment: Segment) -> None:
        await self.world.counts_one(Counter.FORWARDED, wire.send_ipv4(segment.pack()))

    async def _seen(self) -> int:
        return sum((await self.world.dataplane.counters()).values()) - await self.count(Counter.SESSION_NEW)


async def make_scene(world: KernelWorld) -> Scene:
    """Neither end's stack answers anything, so that a session is what the test makes of it."""
    shop, payments = await world.vpc("shop", "10.0.0.10"), await world.vpc("payments", *BACKENDS)
    service = await world.publish(payments, BACKENDS[0], ports=(WEB, DNS))
    endpoint = await world.lead(shop, service)
    world.namespace(payments).ip("route", "delete", "198.19.128.0/17")
    return Scene(world, endpoint, service, world.wire(shop), world.wire(payments))


@pytest.fixture
async def scene(world: KernelWorld) -> Scene:
    return await make_scene(world)


async def test_sessions_are_over_after_as_long_as_their_state_allows(scene: Scene) -> None:
    half_open, established, half_closed, closed, reset, one_way, two_way = (
        replace(OPENING, source_port=port, protocol=UDP if port > 40004 else OPENING.protocol)
        for port in range(40000, 40007)
    )
    one_way, two_way = (replace(each, destination_port=53) for each in (one_way, two_way))
    for opening in (half_open, established, half_closed, closed, reset, one_way, two_way):
        await scene.send(opening)
    for opening in (established, half_closed, closed):
        await scene.reply(opening, SYN | ACK)
        await scene.send(replace(opening, flags=ACK))
    await scene.send(replace(half_closed, flags=FIN | ACK))
    await scene.send(replace(closed, flags=FIN | ACK))
    await scene.reply(closed, FIN | ACK)
    await scene.reply(reset, RST | ACK)
    await scene.reply(two_way)

    assert len(scene.sessions()) == 7
    removed = {}
    for seconds in (9, 10, 29, 30, 119, 120, 349, 350):
        scene.age(seconds)
        removed[seconds] = scene.collect()
    assert removed == {9: 0, 10: 2, 29: 0, 30: 2, 119: 0, 120: 1, 349: 0, 350: 2}
    assert scene.sessions() == []


@pytest.mark.parametrize("direction", list(Direction))
async def test_a_packet_of_either_direction_keeps_both_entries(scene: Scene, direction: Direction) -> None:
    await scene.send(OPENING)
    scene.age(25)
    scene.age(1000, direction)
    assert scene.collect() == 0
    assert len(scene.sessions()) == 1


async def test_a_packet_is_noted_in_the_entry_of_its_direction(scene: Scene) -> None:
    await scene.send(OPENING)
    for direction in Direction:
        scene.age(NOW)
        await (scene.send(OPENING) if direction is Direction.FROM_CONSUMER else scene.reply(OPENING, SYN | ACK))
        seen = {entry.direction: entry.last_seen for entry in scene.entries().values()}
        assert seen[direction] > 0
        assert seen[not direction] == 0


async def test_an_entry_whose_other_half_is_missing_is_collected(scene: Scene) -> None:
    await scene.send(OPENING)
    (session,) = scene.sessions()
    scene.world.maps.sessions.delete(session.key)
    scene.age(2)
    scene.collect()
    assert scene.entries(), "its other half may be about to come"
    scene.age(3)
    scene.collect()
    assert scene.entries() == {}


async def test_sessions_that_were_cut_are_collected_at_once(scene: Scene) -> None:
    await scene.send(OPENING)
    await scene.world.put(replace(scene.endpoint, admission=2))
    scene.age(0)
    assert scene.collect() == 1


async def test_a_syn_on_a_closed_session_makes_a_new_one(scene: Scene) -> None:
    await scene.send(OPENING)
    await scene.reply(OPENING, SYN | ACK)
    await scene.send(replace(OPENING, flags=FIN | ACK))
    await scene.send(OPENING)
    assert await scene.count(Counter.SESSION_NEW) == 1, "one FIN does not close"
    await scene.reply(OPENING, FIN | ACK)
    await scene.send(OPENING)
    assert await scene.count(Counter.SESSION_NEW) == 2
    (session,) = scene.sessions()
    assert (session.finished, session.reset, session.confirmed) == (0, 0, 0)


async def test_a_syn_after_a_cut_makes_a_new_session(scene: Scene) -> None:
    await scene.send(OPENING)
    await scene.world.put(replace(scene.endpoint, admission=2))
    await scene.send(OPENING)
    assert await scene.count(Counter.SESSION_NEW) == 2
    assert len(scene.sessions()) == 1


async def test_while_it_drains_ports_of_a_closed_session_open_nothing_and_no_syn_passes_in_an_open_one(
    scene: Scene,
) -> None:
    closed, half_open, established = (replace(OPENING, source_port=port) for port in (40000, 40001, 40002))
    for opening in (closed, half_open, established):
        await scene.send(opening)
    for opening in (closed, established):
        await scene.reply(opening, SYN | ACK)
        await scene.send(replace(opening, flags=ACK))
    await scene.send(replace(closed, flags=FIN | ACK))
    await scene.reply(closed, FIN | ACK)
    await scene.world.put(replace(scene.endpoint, draining_until=IN_AN_AGE))

    for opening in (closed, half_open, established):
        await scene.world.counts_one(Counter.REFUSED_DRAINING, scene.shop.send_ipv4(opening.pack()))
    assert await scene.count(Counter.SESSION_NEW) == 3
    await scene.reply(half_open, SYN | ACK)
    for opening in (half_open, established):
        await scene.send(replace(opening, flags=ACK))
        await scene.reply(opening, ACK)
    await scene.send(replace(established, flags=RST))
    await scene.world.counts_one(Counter.REFUSED_DRAINING, scene.shop.send_ipv4(established.pack()))


async def test_connections_are_spread_evenly_over_backends(scene: Scene) -> None:
    await scene.world.put(replace(scene.service, backends=backends(*BACKENDS)))
    await all_ready(scene)
    await scene.send_all(replace(OPENING, source_port=port) for port in range(10000, 13000))
    shares = Tally(session.other[0:4] for session in scene.sessions())
    assert len(shares) == len(BACKENDS)
    assert all(850 < share < 1150 for share in shares.values()), shares


async def all_ready(scene: Scene) -> None:
    async with asyncio.timeout(PATIENCE):
        while max(scene.world.maps.services[number].high for number in range(8)) < len(BACKENDS):
            await asyncio.sleep(0)


async def test_source_ports_are_spread_evenly_and_rarely_collide(tmp_path: Path) -> None:
    """Clients that count their ports up are the rule; a hash that keeps few of their bits runs out of ports early."""
    async with kernel_world(tmp_path, max_sessions=65_536) as world:
        scene = await make_scene(world)
        clients = [f"10.0.{number}.10" for number in range(16)]
        await scene.send_all(
            replace(OPENING, source=client, source_port=port) for client in clients for port in range(10000, 11024)
        )
        assert await scene.count(Counter.REFUSED_NO_SOURCE_PORT) == 0
        ports = [int.from_bytes(session.other[10:12], "big") for session in scene.sessions()]
        assert len(set(ports)) == len(ports) == 16 * 1024
        assert min(ports) >= 1024
        buckets = Tally((port - 1024) // 1008 for port in ports)  # 64 of them, of 256 on average
        assert len(buckets) == 64
        assert all(170 < size < 350 for size in buckets.values()), sorted(buckets.values())

        await scene.send_all(
            replace(OPENING, source=f"10.1.{port >> 8}.{port & 255}", source_port=port) for port in range(46_000)
        )
        refused = await scene.count(Counter.REFUSED_NO_SOURCE_PORT)
        assert refused > 0, "nearly all ports are taken, so some clients find none in 32 tries"
        assert len(scene.sessions()) == 16 * 1024 + 46_000 - refused


async def test_a_full_table_refuses_and_recovers(scene: Scene) -> None:
    await scene.send_all(replace(OPENING, source_port=port) for port in range(10_000, 10_000 + SESSIONS + 500))
    full = await scene.count(Counter.REFUSED_TABLE_FULL)
    assert full >= 400
    assert len(scene.sessions()) == SESSIONS + 500 - full
    scene.age(1000)
    assert scene.collect() == SESSIONS + 500 - full
    await scene.send(OPENING)


async def test_two_cpus_that_open_the_same_sessions_at_once_open_each_once(scene: Scene) -> None:
    frames = [
        ethernet(scene.shop.gateway, scene.shop.mac, IPV4, replace(OPENING, source_port=port).pack())
        for port in range(10_000, 10_000 + SESSIONS // 2)
    ]
    together = threading.Barrier(2)

    def send_from(cpu: int) -> None:
        os.sched_setaffinity(0, {cpu})  # of this thread alone
        for frame in frames:
            together.wait()
            scene.shop.send_now(frame)

    cpus = sorted(os.sched_getaffinity(0))
    threads = [threading.Thread(target=send_from, args=(cpu,)) for cpu in (cpus[0], cpus[-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(scene.sessions()) == len(frames)
    assert await scene.count(Counter.FORWARDED) == 2 * len(frames)
