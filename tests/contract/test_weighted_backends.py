"""How every data plane shares out new sessions, and what it leaves alone: asked of the fake and of the kernel alike."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.table import Backend, Entry, Service
from tests.support.worlds import ENDPOINT, PATIENCE, Conversation, Vpc, World, fake_world, kernel_world

CLIENT = "10.0.0.10"
ONE, TWO, THREE = (Backend(IPv4Address(f"10.0.0.{number}")) for number in (20, 21, 22))


@dataclass(frozen=True, slots=True)
class Scene:
    """`shop` with an endpoint that leads to web servers in `payments`: "one", "two", and "three", which rests."""

    world: World
    shop: Vpc
    payments: Vpc
    service: Service

    async def put(self, *backends: Backend) -> Service:
        """The service with these backends, once all of them that may take sessions do."""
        service = replace(self.service, backends=backends)
        await self.world.put(service)
        missing = {str(each.address) for each in backends if not each.draining}
        async with asyncio.timeout(PATIENCE):
            while missing:
                missing.discard((await self.reach()).backend)
        return service

    async def reach(self) -> Conversation:
        return await self.world.reaches(self.shop, CLIENT, ENDPOINT, 80)

    async def ends(self, count: int) -> list[str]:
        """Where so many new connections end."""
        return [(await self.reach()).backend for _ in range(count)]

    async def read(self) -> Entry:
        return (await self.world.dataplane.read()).entries[self.service.key]

    async def refused(self) -> int:
        return (await self.world.dataplane.counters())[Counter.REFUSED_NO_BACKEND]


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.root)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with fake_world() if request.param == "fake" else kernel_world(tmp_path) as made:
        yield made


@pytest.fixture
async def scene(world: World) -> Scene:
    shop = await world.vpc("shop", CLIENT)
    addresses = [str(each.address) for each in (ONE, TWO, THREE)]
    payments = await world.vpc("payments", *addresses)
    for address in addresses:
        await world.serve(payments, address, 8080, address)
    service = await world.publish(payments, addresses[0])
    await world.lead(shop, service)
    return Scene(world, shop, payments, service)


async def test_backends_get_sessions_by_their_weights(scene: Scene) -> None:
    await scene.put(ONE, replace(TWO, weight=9))
    assert 40 <= (await scene.ends(60)).count(str(TWO.address)) < 60, "54 on average"


async def test_a_draining_backend_gets_no_sessions_and_keeps_those_it_has(scene: Scene) -> None:
    established = await scene.reach()
    service = await scene.put(replace(ONE, draining=True), TWO, THREE)
    assert await scene.read() == service
    assert set(await scene.ends(20)) == {str(TWO.address), str(THREE.address)}
    assert await established.echoes()
    assert established.backend == str(ONE.address)

    other = await scene.reach()
    await scene.put(ONE, replace(TWO, draining=True), replace(THREE, draining=True))
    assert set(await scene.ends(5)) == {str(ONE.address)}
    assert await established.echoes()
    assert await other.echoes()


async def test_where_all_are_draining_new_sessions_are_refused_and_counted(scene: Scene) -> None:
    world, established = scene.world, await scene.reach()
    service = await scene.put(replace(ONE, draining=True), replace(TWO, draining=True))
    assert world.dataplane.difficulties() == {service.key: "all of its backends are draining"}
    before = await scene.refused()
    assert await world.refuses(scene.shop, CLIENT, ENDPOINT, 80)
    assert await scene.refused() > before
    assert await established.echoes()
    await scene.put(ONE, TWO)
    assert world.dataplane.difficulties() == {}


async def test_where_those_that_are_not_draining_are_silent_that_is_said(scene: Scene) -> None:
    silent = replace(THREE, address=IPv4Address("10.0.0.30"))
    scene.world.add_hosts(scene.payments, str(silent.address))
    scene.world.remove_host(scene.payments, str(silent.address))
    await scene.world.put(replace(scene.service, backends=(replace(ONE, draining=True), silent)))
    assert scene.world.dataplane.difficulties() == {scene.service.key: "backend 10.0.0.30 does not answer"}


async def test_another_weight_and_another_order_cut_nothing(scene: Scene) -> None:
    await scene.put(ONE, TWO)
    conversations = [await scene.reach() for _ in range(10)]
    await scene.put(TWO, THREE, replace(ONE, weight=100))
    assert all([await conversation.echoes() for conversation in conversations])


async def test_weights_and_draining_are_read_back_in_their_order_after_a_restart(scene: Scene) -> None:
    service = await scene.put(replace(TWO, weight=100), replace(THREE, weight=7, draining=True), replace(ONE, weight=2))
    await scene.world.restart()
    assert await scene.read() == service
    assert set(await scene.ends(5)) <= {str(ONE.address), str(TWO.address)}
