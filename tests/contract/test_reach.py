"""Trying an endpoint out, asked of the fake and of the kernel alike."""

from collections.abc import AsyncIterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.reach import Attempt, Outcome
from services.gateway_agent.table import PortMapping, Protocol, Service
from tests.support import tables
from tests.support.worlds import DNS, WEB, World, fake_world, kernel_world

CLIENT, BACKEND, OTHER_BACKEND, NOBODY = "10.0.0.10", "10.0.0.20", "10.0.0.21", "10.0.0.22"
SECONDS = 0.6
SHUT = PortMapping(81, 8081, Protocol.TCP)
KINDS = ["netns", "vxlan", "interface"]


@pytest.fixture(params=["fake", *(pytest.param(kind, marks=pytest.mark.root) for kind in KINDS)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "fake":
        async with fake_world(None) as fake:
            yield fake
    else:
        async with kernel_world(tmp_path, kinds=[request.param]) as kernel:
            yield kernel


async def test_each_port_of_each_backend_is_found_as_it_is_and_no_session_is_opened(world: World) -> None:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND, OTHER_BACKEND, NOBODY)
    await world.serve(payments, BACKEND, 8080)
    service = await world.publish(payments, BACKEND, OTHER_BACKEND, ports=(WEB, SHUT, DNS))
    world.remove_host(payments, NOBODY)
    service = Service(service.id, service.vpc, service.ports, tables.backends(BACKEND, OTHER_BACKEND, NOBODY))
    await world.put(service)
    endpoint = await world.lead(shop, service)
    reach = await world.dataplane.reach(endpoint.id, SECONDS)
    assert reach is not None
    assert reach.answers
    assert reach.claimants == ()
    one, other, nobody = map(IPv4Address, (BACKEND, OTHER_BACKEND, NOBODY))
    assert set(reach.attempts) == {
        Attempt(one, 8080, Protocol.TCP, Outcome.OPEN),
        Attempt(one, 8081, Protocol.TCP, Outcome.REFUSED),
        Attempt(one, 5353, Protocol.UDP, Outcome.PRESENT),
        Attempt(other, 8080, Protocol.TCP, Outcome.REFUSED),
        Attempt(other, 8081, Protocol.TCP, Outcome.REFUSED),
        Attempt(other, 5353, Protocol.UDP, Outcome.PRESENT),
        Attempt(nobody, 8080, Protocol.TCP, Outcome.UNRESOLVED),
        Attempt(nobody, 8081, Protocol.TCP, Outcome.UNRESOLVED),
        Attempt(nobody, 5353, Protocol.UDP, Outcome.UNRESOLVED),
    }
    assert (await world.dataplane.counters())[Counter.SESSION_NEW] == 0


async def test_an_endpoint_that_is_not_in_the_table_is_not_tried(world: World) -> None:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    endpoint = await world.lead(shop, await world.publish(payments, BACKEND))
    await world.remove(endpoint)
    assert await world.dataplane.reach(endpoint.id, SECONDS) is None


async def test_an_established_session_lives_on_while_its_endpoint_is_tried(world: World) -> None:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.serve(payments, BACKEND, 8080)
    endpoint = await world.lead(shop, await world.publish(payments, BACKEND))
    conversation = await world.reaches(shop, CLIENT, "10.0.0.100", 80)
    reach = await world.dataplane.reach(endpoint.id, SECONDS)
    assert reach is not None
    assert [attempt.outcome for attempt in reach.attempts] == [Outcome.OPEN]
    assert await conversation.echoes()


async def test_a_vpc_that_went_away_is_neither_answered_in_nor_reached(world: World) -> None:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    endpoint = await world.lead(shop, await world.publish(payments, BACKEND))
    for vpc in (shop, payments):
        world.lose(vpc)
    while not {shop.attachment.key, payments.attachment.key} <= world.dataplane.difficulties().keys():
        await world.dataplane.wait_for_news()
    reach = await world.dataplane.reach(endpoint.id, SECONDS)
    assert reach is not None
    assert not reach.answers
    assert [attempt.outcome for attempt in reach.attempts] == [Outcome.UNRESOLVED]
