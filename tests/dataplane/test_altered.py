"""Somebody else writes to the kernel's maps: the next audit finds it, and packets go where they should again."""

from collections.abc import Callable
from contextlib import aclosing

import pytest

from services.gateway_agent.control_plane import ControlPlane
from services.gateway_agent.dataplane.maps import IDENTITIES, PORT_VALUE, EndpointValue, Maps, pack_id
from services.gateway_agent.dataplane.memory import Pair
from services.gateway_agent.desired import Desired, Versioned
from services.gateway_agent.facts import Facts
from services.gateway_agent.fence import Fence
from services.gateway_agent.pace import Pace
from services.gateway_agent.reconciler import Reconciler
from services.gateway_agent.reporter import Reporter
from services.gateway_agent.table import ClientIdentity
from services.gateway_agent.tracker import Tracker
from sidegate.access import Untold
from sidegate.transport import Caller
from tests.support.worlds import ENDPOINT, KernelWorld

pytestmark = pytest.mark.root

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"


def remove_endpoints(maps: Maps) -> None:
    for batch in list(maps.endpoints.batches()):
        for key, _ in batch:
            maps.endpoints.delete(key)


def remove_ports(maps: Maps) -> None:
    for batch in list(maps.ports.batches()):
        for key, _ in batch:
            maps.ports.delete(key)


def ask_for_a_proxy(maps: Maps) -> None:
    """On every port."""
    for batch in list(maps.ports.batches()):
        for key, value in batch:
            server_port, place, _ = PORT_VALUE.unpack(value)
            maps.ports.put(key, PORT_VALUE.pack(server_port, place, IDENTITIES.index(ClientIdentity.PROXY)))


@pytest.mark.parametrize("alter", [remove_endpoints, remove_ports, ask_for_a_proxy])
async def test_an_entry_of_a_map_that_is_gone_is_made_again_by_the_next_audit(
    world: KernelWorld, alter: Callable[[Maps], None]
) -> None:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.serve(payments, BACKEND, 8080)
    await world.lead(shop, await world.publish(payments, BACKEND))
    assert await world.reaches(shop, CLIENT, ENDPOINT, 80)
    whole, now = await world.dataplane.read(), 1000.0

    desired, tracker, pace = Desired(), Tracker(), Pace(audit=60.0)
    fence, facts = Fence(lambda: now, pace.fence_after), Facts(desired, tracker)
    async with aclosing(Asking(Caller("unix:/nowhere", Untold()))) as asking:
        reporter = Reporter(ControlPlane("gw-1", "c1", asking.caller, fence), desired, facts, pace)
        reconciler = Reconciler(
            world.dataplane, reporter, desired=desired, tracker=tracker, facts=facts, fence=fence, pace=pace
        )
        await reconciler.start()
        desired.replace([Versioned(key, 1, entry) for key, entry in whole.entries.items()], position=1)
        await settle(reconciler)

        alter(world.maps)
        assert await world.refuses(shop, CLIENT, ENDPOINT, 80)
        await settle(reconciler)
        assert (await world.dataplane.read() == whole, reconciler.repaired) == (False, 0)
        now += 60.0
        await settle(reconciler)
        assert (await world.dataplane.read(), reconciler.repaired) == (whole, 1)
        assert await world.reaches(shop, CLIENT, ENDPOINT, 80)


async def test_an_endpoint_whose_vpc_was_taken_from_the_table_is_cut_before_its_entry_goes(world: KernelWorld) -> None:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.serve(payments, BACKEND, 8080)
    await world.lead(shop, await world.publish(payments, BACKEND))
    ((_, value),) = world.maps.endpoints.items()
    endpoint = EndpointValue.unpack(value)
    world.maps.attachments.delete(pack_id(shop.id))
    await world.dataplane.read()
    assert list(world.maps.endpoints.items()) == []
    assert world.maps.slots[endpoint.slot].low == endpoint.epoch + 1


async def test_an_endpoint_that_was_led_to_a_proxy_of_nobodys_is_not_whole(world: KernelWorld) -> None:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    endpoint = await world.lead(shop, await world.publish(payments, BACKEND))
    world.maps.proxies[world.dataplane._kernel.table.slot(endpoint.id)] = Pair(999, 0)
    assert endpoint.key not in (await world.dataplane.read()).entries
    await world.put(endpoint)
    assert (await world.dataplane.read()).entries[endpoint.key] == endpoint


async def settle(reconciler: Reconciler) -> None:
    while await reconciler.turn() == 0.0:
        pass


class Asking:
    """A caller that is closed at the end."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def aclose(self) -> None:
        await self.caller.close()
