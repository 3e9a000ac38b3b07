"""Endpoints whose sessions drain, asked of the fake and of the kernel alike: what opens, what goes on, when it ends."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from services.common.clock import SECOND
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.table import Endpoint, ForwardingTable, Protocol
from tests.support.worlds import DNS, ENDPOINT, PATIENCE, WEB, Conversation, Vpc, World, fake_world, kernel_world

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"
HOUR, SOON = 3600 * SECOND, SECOND


@dataclass(frozen=True, slots=True)
class Scene:
    """`shop` with an endpoint that leads to a web server and a resolver in `payments`, and a conversation with each."""

    world: World
    shop: Vpc
    endpoint: Endpoint
    web: Conversation
    dns: Conversation

    async def drain(self, length: int) -> Endpoint:
        draining = replace(self.endpoint, draining_until=time.time_ns() + length)
        await self.world.put(draining)
        return draining

    async def nothing_opens(self) -> bool:
        tcp = await self.world.refuses(self.shop, CLIENT, ENDPOINT, 80)
        return tcp and await self.world.refuses(self.shop, CLIENT, ENDPOINT, 53, Protocol.UDP)

    async def both_go_on(self) -> bool:
        return await self.web.echoes() and await self.dns.echoes()

    async def both_end(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not (await self.web.is_cut() and await self.dns.is_cut()):
                pass

    async def read(self) -> object:
        return (await self.world.dataplane.read()).entries[self.endpoint.key]


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.root)])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    async with fake_world() if request.param == "fake" else kernel_world(tmp_path) as world:
        shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
        await world.serve(payments, BACKEND, 8080)
        await world.serve(payments, BACKEND, 5353, protocol=Protocol.UDP)
        endpoint = await world.lead(shop, await world.publish(payments, BACKEND, ports=(WEB, DNS)))
        web = await world.reaches(shop, CLIENT, ENDPOINT, 80)
        dns = await world.reaches(shop, CLIENT, ENDPOINT, 53, Protocol.UDP)
        yield Scene(world, shop, endpoint, web, dns)


async def test_while_sessions_drain_they_go_on_and_no_other_opens_until_it_is_accepted_again(scene: Scene) -> None:
    draining = await scene.drain(HOUR)
    assert await scene.nothing_opens()
    assert (await scene.world.dataplane.counters())[Counter.REFUSED_DRAINING] >= 2
    assert await scene.both_go_on()
    assert await scene.read() == draining

    await scene.world.restart()
    assert await scene.read() == draining
    assert await scene.nothing_opens()
    assert await scene.both_go_on()

    await scene.world.put(scene.endpoint)
    assert await scene.read() == scene.endpoint
    assert await scene.both_go_on()
    await scene.world.reaches(scene.shop, CLIENT, ENDPOINT, 80)


async def test_a_drain_ends_at_its_moment_though_the_agent_is_dead(scene: Scene) -> None:
    await scene.drain(HOUR)
    shortened = await scene.drain(SOON)
    await scene.world.dataplane.close()
    await scene.both_end()
    await scene.world.dataplane.open()
    assert await scene.read() == shortened
    assert await scene.nothing_opens()

    await scene.world.remove(scene.endpoint)
    await scene.world.put(scene.endpoint)
    assert await scene.web.is_cut()
    await scene.world.reaches(scene.shop, CLIENT, ENDPOINT, 80)


async def test_what_drains_can_be_cut_at_once(scene: Scene) -> None:
    await scene.drain(HOUR)
    await scene.world.remove(scene.endpoint)
    assert await scene.web.is_cut()
    assert await scene.dns.is_cut()
    assert scene.endpoint.key not in (await scene.world.dataplane.read()).entries


async def test_an_endpoint_that_comes_while_it_drains_opens_nothing(scene: Scene) -> None:
    await scene.world.remove(scene.endpoint)
    table = await scene.world.dataplane.read()
    draining = await scene.drain(HOUR)
    assert await scene.nothing_opens()
    assert await scene.world.dataplane.read() == ForwardingTable.of([*table.entries.values(), draining])
