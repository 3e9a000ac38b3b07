"""A whitelist as long as one may be: who is in it gets in, who is not does not, and it changes as a short one does."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from services.gateway_agent.dataplane.entries import MOST_ALLOWED
from services.gateway_agent.dataplane.maps import Counter
from tests.support.worlds import ENDPOINT, KernelWorld

pytestmark = pytest.mark.root

CLIENT, OTHER, BACKEND = "10.0.0.10", "10.0.0.11", "10.0.0.20"
FIRST = int(IPv4Address("172.16.0.0"))
STRANGERS = tuple(IPv4Network((FIRST + 2 * number, 32)) for number in range(MOST_ALLOWED - 1))  # no two of them are one


async def test_ten_thousand_ranges_let_in_whom_they_name(world: KernelWorld) -> None:
    shop, payments = await world.vpc("shop", CLIENT, OTHER), await world.vpc("payments", BACKEND)
    await world.serve(payments, BACKEND, 8080)
    endpoint = await world.lead(shop, await world.publish(payments, BACKEND))
    allowed = (*STRANGERS, IPv4Network(f"{CLIENT}/32"))
    assert len(allowed) == MOST_ALLOWED == 10_000
    listed = replace(endpoint, allowed=allowed)
    await world.put(listed)
    assert (await world.dataplane.read()).entries[endpoint.key] == listed

    conversation = await world.reaches(shop, CLIENT, ENDPOINT, 80)
    assert await world.refuses(shop, OTHER, ENDPOINT, 80)
    assert (await world.dataplane.counters())[Counter.REFUSED_NOT_ALLOWED] > 0
    await world.put(replace(endpoint, allowed=(*STRANGERS, IPv4Network(f"{OTHER}/32"))))
    assert await conversation.is_cut()
    await world.reaches(shop, OTHER, ENDPOINT, 80)
    assert len(list(world.maps.allowed.items())) == MOST_ALLOWED, "what was listed before is gone"
