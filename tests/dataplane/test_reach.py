"""What only real machines do: another one with the endpoint's address, and a backend that hears and says nothing."""

import pytest

from services.gateway_agent.reach import Outcome
from tests.support.sites import IN_EVERY_WAY
from tests.support.worlds import ENDPOINT, KernelWorld

pytestmark = pytest.mark.root

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"


@IN_EVERY_WAY
async def test_another_machine_with_the_endpoints_address_is_named_by_its_mac(world: KernelWorld) -> None:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    endpoint = await world.lead(shop, await world.publish(payments, BACKEND))
    world.add_hosts(shop, ENDPOINT)
    reach = await world.dataplane.reach(endpoint.id, 1.0)
    assert reach is not None
    assert reach.answers
    assert reach.claimants == (world.namespace(shop, ENDPOINT).mac().hex(":"),)


async def test_a_backend_without_a_way_back_is_silent_and_one_that_says_no_refuses(world: KernelWorld) -> None:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.serve(payments, BACKEND, 8080)
    endpoint = await world.lead(shop, await world.publish(payments, BACKEND))
    namespace = world.namespace(payments)
    for kind, outcome in (("blackhole", Outcome.SILENT), ("", Outcome.OPEN)):
        if kind:
            namespace.ip("route", "add", kind, "198.19.128.7/32")
        else:
            namespace.ip("route", "delete", "blackhole", "198.19.128.7/32")
        reach = await world.dataplane.reach(endpoint.id, 0.6)
        assert reach is not None
        assert [attempt.outcome for attempt in reach.attempts] == [outcome]
