"""Source addresses and what passes by them, asked of the fake and of the kernel alike."""

import asyncio
from collections.abc import AsyncIterator, Set
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from services.gateway_agent.table import Address, Endpoint, Protocol
from services.gateway_agent.traffic import Traffic
from tests.support.worlds import (
    DNS,
    ENDPOINT,
    PATIENCE,
    SOURCE,
    WEB,
    Conversation,
    Vpc,
    World,
    fake_world,
    kernel_world,
)

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"
MORE = (IPv4Address("198.19.200.1"), IPv4Address("198.19.250.254"), IPv4Address("198.19.128.8"))


@dataclass(frozen=True, slots=True)
class Scene:
    """`shop` with an endpoint that leads to a web server and a resolver in `payments`."""

    world: World
    shop: Vpc
    endpoint: Endpoint

    async def dns(self) -> Conversation:
        return await self.world.reaches(self.shop, CLIENT, ENDPOINT, 53, Protocol.UDP)

    async def seen(self, wanted: Set[Address]) -> set[Address | None]:
        """From where the backend sees new sessions, until it has seen all that are wanted."""
        found: set[Address | None] = set()
        async with asyncio.timeout(PATIENCE):
            while not wanted <= found:
                conversation = await self.dns()
                found.add(conversation.seen_as)
                await conversation.close()
        return found

    async def traffic(self) -> Traffic:
        return (await self.world.dataplane.traffic())[self.endpoint.id]


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.root)])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    async with fake_world() if request.param == "fake" else kernel_world(tmp_path) as world:
        shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
        await world.serve(payments, BACKEND, 8080)
        await world.serve(payments, BACKEND, 5353, protocol=Protocol.UDP)
        endpoint = await world.lead(shop, await world.publish(payments, BACKEND, ports=(WEB, DNS)))
        yield Scene(world, shop, endpoint)


async def test_an_endpoint_that_gets_more_source_addresses_uses_all_and_loses_no_session(scene: Scene) -> None:
    web = await scene.world.reaches(scene.shop, CLIENT, ENDPOINT, 80)
    before = await scene.dns()
    grown = replace(scene.endpoint, more_sources=MORE)
    await scene.world.put(grown)
    assert (await scene.world.dataplane.read()).entries[grown.key] == grown, "in the order in which they came"
    assert await web.echoes()
    assert await before.echoes()
    assert before.seen_as == IPv4Address(SOURCE)
    everything: set[Address] = {IPv4Address(SOURCE), *MORE}
    assert await scene.seen(everything) == everything


async def test_sessions_of_a_source_address_that_went_are_cut(scene: Scene) -> None:
    await scene.world.put(grown := replace(scene.endpoint, more_sources=MORE))
    web = await scene.world.reaches(scene.shop, CLIENT, ENDPOINT, 80)
    await scene.world.put(replace(grown, more_sources=MORE[:1]))
    assert await web.is_cut(), "whose address it was, it may be another endpoint's by now"
    assert await scene.seen({IPv4Address(SOURCE), MORE[0]}) == {IPv4Address(SOURCE), MORE[0]}


async def test_what_passes_is_counted_and_what_does_not(scene: Scene) -> None:
    conversation = await scene.dns()
    for _ in range(9):
        assert await conversation.echoes()
    other = await scene.dns()
    assert await scene.world.refuses(scene.shop, CLIENT, ENDPOINT, 54, Protocol.UDP)
    passed = await scene.traffic()
    assert (passed.sessions, passed.sessions_made) == (2, 2)
    assert (passed.packets_in, passed.packets_out) == (11, 11)
    assert passed.bytes_in > 11 * 28
    assert passed.bytes_out > 11 * 28
    assert {reason: number for reason, number in passed.refused.items() if number} == {"no_port": 1}
    assert await scene.world.dataplane.traffic_of(scene.endpoint.id) == replace(passed, refused={})
    await other.close()
    await scene.world.remove(scene.endpoint)
    assert scene.endpoint.id not in await scene.world.dataplane.traffic()
    assert await scene.world.dataplane.traffic_of(scene.endpoint.id) is None


async def test_growing_counts_on(scene: Scene) -> None:
    await scene.dns()
    before = await scene.traffic()
    await scene.world.put(replace(scene.endpoint, more_sources=MORE))
    assert await scene.traffic() == before


async def test_a_restart_counts_on_and_what_is_made_anew_is_named_otherwise(scene: Scene) -> None:
    await scene.dns()
    before, counting = await scene.traffic(), scene.world.dataplane.counting()
    await scene.world.restart()
    assert (await scene.traffic(), scene.world.dataplane.counting()) == (before, counting)
    assert 0 < len(counting) <= 64, "as the contract takes it"
    await scene.world.dataplane.uninstall()
    await scene.world.dataplane.open()
    assert scene.world.dataplane.counting() != counting
    assert await scene.world.dataplane.traffic() == {}
