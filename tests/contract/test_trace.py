"""Traces, asked of the fake and of the kernel alike: what is foretold of a packet is what becomes of it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from time import time_ns

import pytest

from services.gateway_agent.dataplane.fake_kernel import Flow, Packet, TcpFlags
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.packet_trace import FORWARDED, Opening, Outcome, PacketTrace, Subject
from services.gateway_agent.table import Endpoint, Protocol, Service
from tests.support.wire import SYN, TCP, UDP, Segment
from tests.support.worlds import DNS, ENDPOINT, WEB, FakeWorld, KernelWorld, Vpc, World, fake_world, kernel_world

CLIENT, BACKEND, OTHER_BACKEND = "10.0.0.10", "10.0.0.20", "10.0.0.21"
ON_OTHER_DEVICES = pytest.mark.parametrize(
    "world",
    ["fake", *(pytest.param(kind, marks=pytest.mark.root) for kind in ("netns", "vxlan", "interface"))],
    indirect=True,
)
MINUTE = 60 * 10**9


@pytest.fixture(params=["fake", pytest.param("netns", marks=pytest.mark.root)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "fake":
        async with fake_world(None) as fake:
            yield fake
    else:
        async with kernel_world(tmp_path, kinds=[request.param]) as kernel:
            yield kernel


@dataclass(frozen=True, slots=True)
class Scene:
    world: World
    shop: Vpc
    payments: Vpc
    service: Service
    endpoint: Endpoint

    async def traced(self, opening: Opening) -> PacketTrace:
        """Nothing is counted and no session opens by it."""
        before = await self.counted()
        trace = await self.world.dataplane.trace(self.endpoint.id, opening)
        assert trace is not None
        assert trace.agrees, trace
        assert await self.counted() == before
        return trace

    async def counted(self) -> dict[str, int]:
        """What a stray ARP does not change."""
        counts = await self.world.dataplane.counters()
        return {name: count for name, count in counts.items() if "arp" not in name}

    async def becomes(self, opening: Opening) -> str:
        """What becomes of the packet itself, by the counter that rises."""
        before = await self.counted()
        await self.send(opening)
        while (now := await self.counted()) == before:
            pass
        changed = {name for name in now if now[name] != before[name]} - {Counter.SESSION_NEW.value}
        (said,) = changed
        return said

    async def send(self, opening: Opening) -> None:
        if isinstance(self.world, FakeWorld):
            source, target = IPv4Address(str(opening.source)), self.endpoint.address
            flow = Flow(self.shop.id, opening.protocol, source, opening.source_port, target, opening.port)
            await self.world.dataplane.send(
                Packet(flow, TcpFlags.SYN if opening.protocol is Protocol.TCP else TcpFlags.NONE)
            )
            return
        assert isinstance(self.world, KernelWorld)
        number, flags = (TCP, SYN) if opening.protocol is Protocol.TCP else (UDP, 0)
        segment = Segment(
            str(opening.source), ENDPOINT, opening.source_port, opening.port, number, flags=flags, payload=b"?"
        )
        await self.world.wire(self.shop).send_ipv4(segment.pack())


@pytest.fixture
async def scene(world: World) -> Scene:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND, OTHER_BACKEND)
    service = await world.publish(payments, BACKEND, OTHER_BACKEND, ports=(WEB, DNS))
    for backend in (BACKEND, OTHER_BACKEND):  # nobody there would be an ICMP error, and counted
        await world.serve(payments, backend, 5353, protocol=Protocol.UDP)
    return Scene(world, shop, payments, service, await world.lead(shop, service))


def opening(
    source: str = CLIENT, source_port: int = 40000, port: int = 80, protocol: Protocol = Protocol.TCP
) -> Opening:
    return Opening(IPv4Address(source), source_port, port, protocol)


async def narrow(scene: Scene) -> None:
    networks = (IPv4Network("10.0.0.8/30"), IPv4Network("192.0.2.0/24"))
    await scene.world.put(replace(scene.endpoint, allowed=networks))


async def drain(scene: Scene) -> None:
    await scene.world.put(replace(scene.endpoint, draining_until=time_ns() + MINUTE))


async def without_backends(scene: Scene) -> None:
    await scene.world.put(replace(scene.service, backends=()))


async def all_draining(scene: Scene) -> None:
    backends = tuple(replace(backend, draining=True) for backend in scene.service.backends)
    await scene.world.put(replace(scene.service, backends=backends))


async def as_it_is(_scene: Scene) -> None:
    pass


Change = Callable[[Scene], Awaitable[None]]
CASES: list[tuple[str, Change, Opening, str, Subject | None]] = [
    ("passes", as_it_is, opening(), FORWARDED, None),
    ("passes by UDP", as_it_is, opening(port=53, protocol=Protocol.UDP), FORWARDED, None),
    ("passes its whitelist", narrow, opening(), FORWARDED, None),
    ("no such port", as_it_is, opening(port=81), "refused_no_port", Subject.PORT),
    ("the other protocol", as_it_is, opening(protocol=Protocol.UDP), "refused_no_port", Subject.PORT),
    ("not on the whitelist", narrow, opening("10.0.0.12"), "refused_not_allowed", Subject.WHITELIST),
    ("draining", drain, opening(), "refused_draining", Subject.DRAIN),
    ("no backends", without_backends, opening(), "refused_no_backend", Subject.BACKEND),
    ("all backends draining", all_draining, opening(), "refused_no_backend", Subject.BACKEND),
]


@pytest.mark.parametrize(("change", "packet", "verdict", "at"), [pytest.param(*each, id=name) for name, *each in CASES])
async def test_what_is_foretold_is_what_becomes_of_the_packet(
    scene: Scene, change: Change, packet: Opening, verdict: str, at: Subject | None
) -> None:
    await change(scene)
    trace = await scene.traced(packet)
    assert trace.verdict == verdict
    refusing = [step.subject for step in trace.steps if step.outcome is Outcome.REFUSED]
    assert refusing == ([at] if at else [])
    assert await scene.becomes(packet) == verdict


@ON_OTHER_DEVICES
async def test_a_trace_says_where_the_packet_would_go(scene: Scene) -> None:
    trace = await scene.traced(opening())
    assert trace.passes
    assert str(trace.backend) in (BACKEND, OTHER_BACKEND)
    assert (trace.server_port, trace.seen_as) == (8080, scene.endpoint.source_address)
    assert trace.seen_port >= 1024


async def test_without_a_port_the_first_that_is_published_is_taken(scene: Scene) -> None:
    assert (await scene.traced(Opening(IPv4Address(CLIENT)))).opening.port == 80
    assert (await scene.traced(Opening(IPv4Address(CLIENT), protocol=Protocol.UDP))).opening.port == 53


async def test_a_packet_of_an_open_session_goes_where_the_session_goes(scene: Scene) -> None:
    for name, backend in (("one", BACKEND), ("two", OTHER_BACKEND)):
        await scene.world.serve(scene.payments, backend, 8080, name)
    conversation = await scene.world.connect(scene.shop, CLIENT, ENDPOINT, 80, source_port=40007)
    assert conversation is not None
    trace = await scene.traced(opening(source_port=40007))
    assert str(trace.backend) == {"one": BACKEND, "two": OTHER_BACKEND}[conversation.backend]
    assert await conversation.echoes()


async def test_an_endpoint_that_is_not_there_has_no_trace(scene: Scene) -> None:
    await scene.world.remove(scene.endpoint)
    assert await scene.world.dataplane.trace(scene.endpoint.id, opening()) is None


async def test_no_packet_comes_in_where_the_device_is_gone(scene: Scene) -> None:
    scene.world.lose(scene.shop)
    while scene.shop.attachment.key not in scene.world.dataplane.difficulties():
        await scene.world.dataplane.wait_for_news()
    trace = await scene.traced(opening())
    assert (trace.verdict, trace.steps[0].outcome) == ("refused_not_attached", Outcome.REFUSED)
