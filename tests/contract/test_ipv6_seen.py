"""IPv6 traced, logged and captured: asked of the fake and of the kernel."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path

import pytest

from services.gateway_agent.captures import LONGEST_SNAP
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.flows import CLOSED, FULL
from services.gateway_agent.packet_trace import Opening, Outcome, PacketTrace, Subject
from services.gateway_agent.table import Endpoint, Protocol, Service, Timeouts
from tests.support.worlds import DNS, WEB, Vpc, World, fake_world, kernel_world

CLIENT, BACKEND, ADDRESS = "fd00::10", "fd00::20", "fd00::100"
SEEN_AS = IPv6Address("fd73:6964:6567:6174::c613:8007")  # with 198.19.128.7, which the endpoint has leased
DEADLINE = 10.0
OPENING = Opening(IPv6Address(CLIENT), 40000, 80)


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.root)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "fake":
        async with fake_world() as fake:
            yield fake
    else:
        async with kernel_world(tmp_path) as kernel:
            kernel.ipv6 = True
            yield kernel


@dataclass(frozen=True, slots=True)
class Scene:
    world: World
    shop: Vpc
    service: Service
    endpoint: Endpoint

    async def trace(self, opening: Opening) -> PacketTrace:
        trace = await self.world.dataplane.trace(self.endpoint.id, opening)
        assert trace is not None
        assert trace.agrees, trace
        return trace


@pytest.fixture
async def scene(world: World) -> Scene:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.serve(payments, BACKEND, 8080)
    service = replace(await world.publish(payments, BACKEND, ports=(WEB, DNS)), timeouts=Timeouts(tcp_closed=0))
    await world.put(service)
    return Scene(world, shop, service, await world.lead(shop, service, ADDRESS))


async def test_a_packet_is_traced_to_the_backend_and_to_each_refusal(scene: Scene) -> None:
    trace = await scene.trace(OPENING)
    assert (trace.verdict, trace.address, trace.backend) == ("forwarded", IPv6Address(ADDRESS), IPv6Address(BACKEND))
    assert (trace.server_port, trace.seen_as) == (8080, SEEN_AS)
    assert (await scene.trace(replace(OPENING, port=53, protocol=Protocol.UDP))).passes
    assert (await scene.trace(replace(OPENING, port=81))).verdict == "refused_no_port"
    await scene.world.put(replace(scene.endpoint, allowed=(IPv6Network("fd00::8/127"),)))
    trace = await scene.trace(OPENING)
    assert trace.verdict == "refused_not_allowed"
    assert [step.subject for step in trace.steps if step.outcome is Outcome.REFUSED] == [Subject.WHITELIST]


async def test_a_client_of_the_other_family_cannot_be_traced(scene: Scene) -> None:
    with pytest.raises(NotReady, match="family"):
        await scene.world.dataplane.trace(scene.endpoint.id, Opening(IPv4Address("10.0.0.10")))


async def test_a_session_and_a_refusal_are_told_of_with_their_addresses(scene: Scene) -> None:
    scene.world.dataplane.sample_flows(FULL)
    conversation = await scene.world.connect(scene.shop, CLIENT, ADDRESS, 80, source_port=40001)
    assert conversation is not None
    await conversation.close()
    told = []
    async with asyncio.timeout(DEADLINE), aclosing(scene.world.dataplane.flows()) as flows:
        while not await scene.world.dataplane.collect():
            await asyncio.sleep(0.01)
        told.append(await anext(flows))
        assert await scene.world.refuses(scene.shop, CLIENT, ADDRESS, 81)
        told.append(await anext(flows))
    assert [(record.verdict, record.port) for record in told] == [(CLOSED, 80), ("refused_no_port", 81)]
    assert {(record.client, record.address) for record in told} == {(IPv6Address(CLIENT), IPv6Address(ADDRESS))}
    assert min(told[0].packets_in, told[0].packets_out) >= 3


async def test_packets_are_captured_on_both_sides(scene: Scene) -> None:
    capture = scene.world.dataplane.capture(scene.endpoint.id, LONGEST_SNAP)
    assert capture is not None
    seen: set[tuple[int, bool, str, str]] = set()
    ways = {(0, False), (1, True), (1, False), (0, True)}
    try:
        conversation = await scene.world.connect(scene.shop, CLIENT, ADDRESS, 80, source_port=40001)
        assert conversation is not None
        async with asyncio.timeout(DEADLINE):
            while {each[:2] for each in seen} < ways:
                for packet in await capture.batch():
                    if packet.data[12:14] == b"\x86\xdd" and packet.data[20] == 6:  # TCP, without other headers
                        ends = [str(IPv6Address(packet.data[at : at + 16])) for at in (22, 38)]
                        seen.add((packet.device, packet.outbound, ends[0], ends[1]))
    finally:
        capture.close()
    assert seen == {
        (0, False, CLIENT, ADDRESS),
        (1, True, str(SEEN_AS), BACKEND),
        (1, False, BACKEND, str(SEEN_AS)),
        (0, True, ADDRESS, CLIENT),
    }
