"""The kernel's ring buffer of flow records: what is lost in it, what an agent makes of what an earlier one has left."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.flows import FULL
from tests.support.wire import Segment, Wire
from tests.support.worlds import ENDPOINT, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"
ROOM = (1 << 20) // 112
"""Records that fit: each takes 104 bytes, and 8 of a header."""

DEADLINE = 20.0


@dataclass(slots=True)
class Scene:
    world: KernelWorld
    shop: Vpc
    wire: Wire

    async def refused(self, count: int) -> None:
        """So many openings to a port that is not published, each seen by the program."""
        before = (await self.world.dataplane.counters())[Counter.REFUSED_NO_PORT]
        for number in range(count):
            self.wire.send_now(self.frame(number))
            if number % 500 == 0:
                await self.seen(before + number)
        await self.seen(before + count - 1)

    async def seen(self, count: int) -> None:
        await self.world.counts_more(Counter.REFUSED_NO_PORT, count)

    def frame(self, number: int) -> bytes:
        segment = Segment(CLIENT, ENDPOINT, 1024 + number % 60000, 81)
        return self.wire.gateway + self.wire.mac + b"\x08\x00" + segment.pack()


@pytest.fixture
async def scene(world: KernelWorld) -> Scene:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.lead(shop, await world.publish(payments, BACKEND))
    world.dataplane.sample_flows(FULL)
    return Scene(world, shop, world.wire(shop))


async def test_what_nobody_reads_in_time_is_lost_and_counted_and_all_else_is_there(scene: Scene) -> None:
    await scene.refused(ROOM + 1000)
    lost = scene.world.dataplane.lost_flows()
    assert 1000 <= lost <= 1100
    told = 0
    async with asyncio.timeout(DEADLINE), aclosing(scene.world.dataplane.flows()) as flows:
        async for record in flows:
            told += 1
            if told == ROOM + 1000 - lost:
                break
            assert record.verdict == "refused_no_port"
        await scene.refused(1)
        assert (await anext(flows)).client_port == 1024
    assert scene.world.dataplane.lost_flows() == lost


async def test_what_ended_while_no_agent_lived_is_told_by_the_next(scene: Scene) -> None:
    await scene.refused(3)
    await scene.world.restart()
    async with asyncio.timeout(DEADLINE), aclosing(scene.world.dataplane.flows()) as flows:
        assert [(await anext(flows)).client_port for _ in range(3)] == [1024, 1025, 1026]


async def test_records_of_one_of_many_are_about_as_many(scene: Scene) -> None:
    scene.world.dataplane.sample_flows(10)
    await scene.refused(5000)
    async with aclosing(scene.world.dataplane.flows()) as flows:
        told = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                async for _ in flows:
                    told += 1
    assert 350 <= told <= 650  # 500, and seven standard deviations
