"""Errors of ICMP: what is about a session's packets is told to who sent them, and nothing else passes."""

import asyncio
import socket
import time
from dataclasses import dataclass, replace
from ipaddress import IPv4Network

import pytest

from services.gateway_agent.dataplane.maps import NUMBER, Counter
from services.gateway_agent.table import Endpoint
from tests.support.icmp import ECHO, PARAMETER_PROBLEM, QUOTED, TIME_EXCEEDED, TOO_LONG, UNREACHABLE, IcmpError
from tests.support.icmp import receive_error as received
from tests.support.sites import IN_EVERY_WAY
from tests.support.wire import TCP, UDP, Seen, Segment, Wire
from tests.support.worlds import DNS, ENDPOINT, PATIENCE, SOURCE, WEB, KernelWorld, Vpc

pytestmark = pytest.mark.root

NOBODY = "10.0.0.77"  # of the consumer's network: no stack answers for it
BACKEND, ROUTER = "10.0.0.20", "10.0.0.1"
OPENING = Segment(NOBODY, ENDPOINT, 40000, 53, UDP, payload=b"question")
MTU = bytes(2) + (1300).to_bytes(2, "big")
ERRORS = [
    *((UNREACHABLE, code, MTU if code == TOO_LONG else bytes(4)) for code in range(16)),
    (TIME_EXCEEDED, 0, bytes(4)),
    (TIME_EXCEEDED, 1, bytes(4)),
    (PARAMETER_PROBLEM, 0, b"\x14\0\0\0"),
]


@dataclass(slots=True)
class Scene:
    """A client's session, of which neither end's stack knows, and the packets that it was opened with."""

    world: KernelWorld
    endpoint: Endpoint
    shop: Wire
    payments: Wire
    asked: Segment  # as the client sent it
    arrived: Segment  # as the backend got it

    def to_client(self, quoted: bytes | None = None) -> IcmpError:
        return IcmpError(ROUTER, SOURCE, UNREACHABLE, TOO_LONG, quoted or self.arrived.pack()[:QUOTED], MTU)

    def to_backend(self) -> IcmpError:
        """About an answer of the backend."""
        answer = turned_round(self.asked).pack()[:QUOTED]
        return IcmpError(ROUTER, ENDPOINT, UNREACHABLE, TOO_LONG, answer, MTU)

    async def is_refused(self, at: Wire, error: IcmpError) -> None:
        before = (await self.world.dataplane.counters())[Counter.ICMP_FORWARDED]
        await self.world.counts_one(Counter.REFUSED_ICMP, at.send_ipv4(error.pack()))
        assert (await self.world.dataplane.counters())[Counter.ICMP_FORWARDED] == before


def turned_round(segment: Segment) -> Segment:
    return replace(
        segment,
        source=segment.destination,
        destination=segment.source,
        source_port=segment.destination_port,
        destination_port=segment.source_port,
    )


async def make_scene(world: KernelWorld, opening: Segment = OPENING) -> Scene:
    shop, payments = await world.vpc("shop", "10.0.0.10"), await world.vpc("payments", BACKEND)
    endpoint = await world.lead(shop, await world.publish(payments, BACKEND, ports=(WEB, DNS)))
    for space in world.site(payments).spaces:
        space.ip("route", "delete", "198.19.128.0/17")
    consumer, provider = world.wire(shop), world.wire(payments, BACKEND)
    await consumer.send_ipv4(opening.pack())
    seen = None
    while seen is None:
        seen = Seen.read(await provider.receive())
    arrived = replace(
        opening,
        source=seen.source,
        destination=seen.destination,
        source_port=seen.source_port,
        destination_port=seen.destination_port,
    )
    return Scene(world, endpoint, consumer, provider, opening, arrived)


@pytest.fixture
async def scene(world: KernelWorld) -> Scene:
    return await make_scene(world)


async def test_every_error_about_what_a_client_sent_reaches_it_as_from_the_endpoint(scene: Scene) -> None:
    for kind, code, rest in ERRORS:
        error = replace(scene.to_client(), kind=kind, code=code, rest=rest)
        await scene.payments.send_ipv4(error.pack())
        asked = scene.asked.pack()[:QUOTED]
        assert await received(scene.shop) == IcmpError(ENDPOINT, NOBODY, kind, code, asked, rest, ttl=63)


async def test_every_error_about_what_a_backend_sent_reaches_it_as_from_the_endpoint_s_source(scene: Scene) -> None:
    answered = turned_round(scene.arrived).pack()[:QUOTED]
    for kind, code, rest in ERRORS:
        error = replace(scene.to_backend(), kind=kind, code=code, rest=rest)
        await scene.shop.send_ipv4(error.pack())
        assert await received(scene.payments) == IcmpError(SOURCE, BACKEND, kind, code, answered, rest, ttl=63)


@IN_EVERY_WAY
@pytest.mark.parametrize("protocol", [TCP, UDP])
async def test_errors_pass_both_ways_however_vpcs_are_attached(world: KernelWorld, protocol: int) -> None:
    scene = await make_scene(world, replace(OPENING, protocol=protocol, destination_port=80 if protocol == TCP else 53))
    await scene.payments.send_ipv4(scene.to_client().pack())
    assert (await received(scene.shop)).quoted == scene.asked.pack()[:QUOTED]
    await scene.shop.send_ipv4(scene.to_backend().pack())
    assert (await received(scene.payments)).quoted == turned_round(scene.arrived).pack()[:QUOTED]


async def test_what_routers_add_to_an_error_stays_behind(scene: Scene) -> None:
    """RFC 4884 and RFC 5837: names and addresses of the interfaces that a packet came by."""
    quoted = scene.arrived.pack().ljust(128, b"\0") + b"\x20\0\0\0 eth0 of a router of the provider's"
    error = replace(scene.to_client(quoted), kind=TIME_EXCEEDED, code=0, rest=b"\0\x20\0\0")
    await scene.payments.send_ipv4(error.pack())
    passed = await received(scene.shop)
    assert (passed.quoted, passed.rest) == (scene.asked.pack()[:QUOTED], bytes(4))


async def test_only_an_error_about_a_session_of_its_own_vpc_passes(scene: Scene) -> None:
    right, arrived = scene.to_client(), scene.arrived
    guesses = [
        replace(arrived, source_port=arrived.source_port ^ 1),
        replace(arrived, destination_port=80),
        replace(arrived, protocol=TCP),
        replace(arrived, source="198.19.128.8"),
        replace(arrived, destination="10.0.0.21"),
        turned_round(arrived),
        scene.asked,
        replace(arrived, options=b"\1\1\1\1"),
        replace(arrived, version=5),
        replace(arrived, fragment=1),
    ]
    for guess in guesses:
        quoted = guess.pack()[: QUOTED + len(guess.options)]
        await scene.is_refused(scene.payments, replace(right, quoted=quoted, destination=guess.source))
    await scene.is_refused(scene.shop, right)
    other = scene.world.wire(await scene.world.vpc("other", BACKEND))
    await scene.is_refused(other, right)
    await scene.is_refused(other, scene.to_backend())
    await scene.payments.send_ipv4(right.pack())
    assert (await received(scene.shop)).source == ENDPOINT


async def test_what_is_no_whole_error_does_not_pass(scene: Scene) -> None:
    right = scene.to_client()
    wrong = [
        replace(right, wrong=1),
        replace(right, kind=ECHO, code=0),
        replace(right, kind=0, code=0),
        replace(right, kind=5),
        replace(right, kind=4, code=0),
        replace(right, kind=UNREACHABLE, code=16),
        replace(right, quoted=right.quoted[:-1]),
        replace(right, quoted=b""),
        replace(right, quoted=bytes(QUOTED)),
        replace(right, quoted=b"\xff" * QUOTED),
        replace(right, quoted=right.quoted.ljust(1400, b"\0")),
        replace(right, destination="198.19.128.8"),
        replace(right, destination=BACKEND),
    ]
    for error in wrong:
        await scene.is_refused(scene.payments, error)
    await scene.world.counts_one(Counter.REFUSED_TTL, scene.payments.send_ipv4(replace(right, ttl=1).pack()))


async def test_errors_end_with_what_they_are_about(scene: Scene) -> None:
    await scene.world.put(replace(scene.endpoint, allowed=(IPv4Network("10.0.0.8/30"),)))
    await scene.is_refused(scene.payments, scene.to_client())
    await scene.is_refused(scene.shop, scene.to_backend())
    await scene.world.put(scene.endpoint)
    await scene.payments.send_ipv4(scene.to_client().pack())
    assert (await received(scene.shop)).destination == NOBODY
    await scene.world.remove(scene.endpoint)
    await scene.is_refused(scene.payments, scene.to_client())
    await scene.is_refused(scene.shop, scene.to_backend())


async def test_an_endpoint_that_has_had_its_share_of_errors_gets_no_more_for_now(scene: Scene) -> None:
    (slot,) = scene.world.dataplane._kernel.table.slots().values()
    answers = scene.world.dataplane._kernel._loaded.maps["answers"]
    answers.put(NUMBER.pack(slot), (time.monotonic_ns() + 3600 * 10**9).to_bytes(8, "little"))
    await scene.is_refused(scene.payments, scene.to_client())
    answers.put(NUMBER.pack(slot), bytes(8))
    await scene.payments.send_ipv4(scene.to_client().pack())
    assert (await received(scene.shop)).destination == NOBODY


@pytest.mark.parametrize("offloads", [True, False], ids=["offloads on", "offloads off"])
async def test_a_client_learns_that_nobody_listens(world: KernelWorld, offloads: bool) -> None:
    """By its own stack, which looks at the checksums."""
    shop, payments = await world.vpc("shop", "10.0.0.10"), await world.vpc("payments", BACKEND)
    await world.lead(shop, await world.publish(payments, BACKEND, ports=(DNS,)))
    for vpc in (shop, payments):
        world.namespace(vpc).offload(offloads)
    await is_told(world, shop)
    for vpc in (shop, payments):
        assert world.namespace(vpc).counter("Icmp", "InCsumErrors") == 0


async def is_told(world: KernelWorld, shop: Vpc) -> None:
    loop = asyncio.get_running_loop()
    with world.namespace(shop).udp_socket("10.0.0.10") as client:
        client.connect((ENDPOINT, 53))
        client.send(b"is anybody there?")
        with pytest.raises(ConnectionRefusedError):
            async with asyncio.timeout(PATIENCE):
                await loop.sock_recv(client, 1)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
