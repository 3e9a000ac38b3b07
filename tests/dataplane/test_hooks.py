"""The program by TCX, beside the filter: where it is, and that neither is needed for the other."""

import asyncio

import pytest

from services.gateway_agent.dataplane import guard
from services.gateway_agent.dataplane.netlink import netlink
from tests.support.worlds import ENDPOINT, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"


@pytest.fixture
async def shop(world: KernelWorld) -> Vpc:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.serve(payments, BACKEND, 8080)
    await world.lead(shop, await world.publish(payments, BACKEND))
    return shop


def hooks(world: KernelWorld) -> set[int]:
    """Indexes of devices."""
    return {int(pin.name.removeprefix("tcx_")) for pin in world.pins() if pin.name.startswith("tcx_")}


def unguard(indexes: set[int]) -> None:
    with netlink() as host:
        for index in indexes:
            guard.unguard(host, index)


async def test_packets_pass_by_either_alone(world: KernelWorld, shop: Vpc) -> None:
    await world.reaches(shop, CLIENT, ENDPOINT, 80)
    indexes = hooks(world)
    assert len(indexes) == 2

    await asyncio.to_thread(unguard, indexes)
    await world.reaches(shop, CLIENT, ENDPOINT, 80)
    await world.restart()
    assert hooks(world) == indexes, "the same links, with the new program"
    for pin in [pin for pin in world.pins() if pin.name.startswith("tcx_")]:
        pin.unlink()
    await world.reaches(shop, CLIENT, ENDPOINT, 80)


async def test_a_hook_goes_with_its_device(world: KernelWorld) -> None:
    vpc = await world.vpc("shop", CLIENT)
    assert len(hooks(world)) == 1
    await world.remove(vpc.attachment)
    assert hooks(world) == set()


async def test_without_tcx_the_filter_is_enough(world: KernelWorld, shop: Vpc, monkeypatch: pytest.MonkeyPatch) -> None:
    for pin in [pin for pin in world.pins() if pin.name.startswith("tcx_")]:
        pin.unlink()
    monkeypatch.setattr("services.gateway_agent.dataplane.hooks.INGRESS", 4096)  # as a kernel that knows none
    await world.restart()
    assert hooks(world) == set()
    await world.reaches(shop, CLIENT, ENDPOINT, 80)
