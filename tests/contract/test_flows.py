"""Flow records, asked of the fake and of the kernel alike: what is told of sessions, when, and that nothing waits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from time import time_ns

import pytest

from services.gateway_agent.flows import CLOSED, CUT, FULL, IDLE, OFF, FlowRecord
from services.gateway_agent.table import Endpoint, Protocol, Service, Timeouts
from tests.support.worlds import DNS, ENDPOINT, WEB, Conversation, Vpc, World, fake_world, kernel_world

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"
DEADLINE = 10.0
AT_ONCE = Timeouts(tcp_closed=0, udp_two_way=0)
SECOND = 10**9


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.root)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    made = fake_world() if request.param == "fake" else kernel_world(tmp_path)
    async with made as world:
        yield world


@dataclass(frozen=True, slots=True)
class Scene:
    world: World
    shop: Vpc
    service: Service
    endpoint: Endpoint

    async def converse(self, port: int, to: int = 80, protocol: Protocol = Protocol.TCP) -> Conversation:
        conversation = await self.world.connect(self.shop, CLIENT, ENDPOINT, to, protocol, source_port=port)
        assert conversation is not None
        return conversation

    async def told(self, count: int) -> Sequence[FlowRecord]:
        """The next so many records, in the order of the clients' ports; sessions that are over are collected."""
        records: list[FlowRecord] = []
        async with asyncio.timeout(DEADLINE), aclosing(self.world.dataplane.flows()) as flows:
            while len(records) < count:
                collecting = asyncio.create_task(self._collect())
                try:
                    records.append(await anext(flows))
                finally:
                    collecting.cancel()
                    await asyncio.wait([collecting])
        return sorted(records, key=lambda record: record.client_port)

    async def _collect(self) -> None:
        while True:
            await self.world.dataplane.collect()
            await asyncio.sleep(0.01)


@pytest.fixture
async def scene(world: World) -> Scene:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.serve(payments, BACKEND, 8080)
    await world.serve(payments, BACKEND, 5353, protocol=Protocol.UDP)
    service = replace(await world.publish(payments, BACKEND, ports=(WEB, DNS)), timeouts=AT_ONCE)
    await world.put(service)
    world.dataplane.sample_flows(FULL)
    return Scene(world, shop, service, await world.lead(shop, service))


async def test_a_session_is_told_of_when_it_is_over_with_all_that_passed(scene: Scene) -> None:
    before = time_ns()
    conversation = await scene.converse(40001)
    await conversation.close()
    (record,) = await scene.told(1)
    endpoint = scene.endpoint
    assert (record.endpoint, record.marker, record.service) == (endpoint.id, endpoint.marker, endpoint.service)
    assert (record.vpc, record.protocol, record.verdict) == (scene.shop.id, Protocol.TCP, CLOSED)
    assert (record.client, record.client_port) == (IPv4Address(CLIENT), 40001)
    assert (record.address, record.port) == (endpoint.address, 80)
    assert record.packets_in >= 3
    assert record.packets_out >= 3
    assert record.bytes_in >= record.packets_in * 40
    assert record.bytes_out >= record.packets_out * 40
    assert before - SECOND <= record.began <= record.ended <= time_ns() + SECOND
    assert scene.world.dataplane.lost_flows() == 0


async def test_sessions_of_an_endpoint_that_goes_are_told_of_as_cut(scene: Scene) -> None:
    await scene.converse(40001, 53, Protocol.UDP)
    await scene.converse(40002)
    await scene.world.remove(scene.endpoint)
    assert [(record.client_port, record.verdict) for record in await scene.told(2)] == [(40001, CUT), (40002, CUT)]


async def test_an_idle_session_is_told_of_as_idle(scene: Scene) -> None:
    await scene.converse(40001, 53, Protocol.UDP)
    (record,) = await scene.told(1)
    assert (record.verdict, record.protocol, record.port) == (IDLE, Protocol.UDP, 53)
    assert (record.packets_in, record.packets_out) == (1, 1)


async def test_refused_openings_are_told_of_with_their_reason(scene: Scene) -> None:
    await scene.world.put(replace(scene.endpoint, allowed=(IPv4Network("10.0.0.8/30"),)))
    assert await scene.world.refuses(scene.shop, CLIENT, ENDPOINT, 81)
    records = await scene.told(1)
    assert {(record.verdict, record.port) for record in records} == {("refused_no_port", 81)}
    await scene.world.put(replace(scene.endpoint, allowed=(IPv4Network("192.0.2.0/24"),)))
    assert await scene.world.refuses(scene.shop, CLIENT, ENDPOINT, 80)
    for record in await scene.told(1):
        assert (record.verdict, record.endpoint, record.packets_in) == ("refused_not_allowed", scene.endpoint.id, 1)


async def test_the_next_holder_of_an_address_is_not_taken_for_the_last(scene: Scene) -> None:
    """Its slot, too, may be the one that had ended sessions."""
    await scene.converse(40001)
    await scene.world.remove(scene.endpoint)
    other = replace(scene.endpoint, id="6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c", marker=8)
    await scene.world.put(other)
    await scene.converse(40002)
    await scene.world.remove(other)
    records = await scene.told(2)
    assert [(record.client_port, record.endpoint, record.marker) for record in records] == [
        (40001, scene.endpoint.id, 7),
        (40002, other.id, 8),
    ]


async def test_what_is_off_tells_nothing_and_one_of_many_tells_of_few(scene: Scene) -> None:
    scene.world.dataplane.sample_flows(OFF)
    await (await scene.converse(40001)).close()
    scene.world.dataplane.sample_flows(1_000_000_000)
    await (await scene.converse(40002)).close()
    while await scene.world.dataplane.collect():
        pass
    scene.world.dataplane.sample_flows(FULL)
    await (await scene.converse(40003)).close()
    assert [record.client_port for record in await scene.told(1)] == [40003]
