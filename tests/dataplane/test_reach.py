"""What only real machines do: another one with the endpoint's address, and a backend that hears and says nothing."""

import asyncio
from pathlib import Path

import pytest

from services.gateway_agent.reach import Outcome
from services.gateway_agent.table import ClientIdentity, PortMapping, Protocol
from tests.support.proxy_protocol import ToldServer, haproxy_backend
from tests.support.sites import IN_EVERY_WAY
from tests.support.worlds import ENDPOINT, PATIENCE, KernelWorld

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


async def test_a_backend_that_does_not_speak_the_proxy_protocol_is_told_from_one_that_does(
    world: KernelWorld, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of our own two and of HAProxy's two ways to listen, each on a port of its own; nothing is left at any of them."""
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    space, files = world.namespace(payments), tmp_path_factory.mktemp("backends")
    ports = tuple(PortMapping(port, port, Protocol.TCP, ClientIdentity.PROXY) for port in range(8001, 8006))
    endpoint = await world.lead(shop, await world.publish(payments, BACKEND, ports=ports))
    await world.serve(payments, BACKEND, 8002)
    with (
        haproxy_backend(space, BACKEND, 8003, _made(files / "with")),
        haproxy_backend(space, BACKEND, 8004, _made(files / "without"), expecting=""),
    ):
        async with ToldServer.serving("told", space, BACKEND, 8001) as told, asyncio.timeout(PATIENCE):
            found = [Outcome.REFUSED] * len(ports)
            while Outcome.REFUSED in found[:-1]:  # HAProxies take a moment
                reach = await world.dataplane.reach(endpoint.id, 1.0)
                assert reach
                found = [attempt.outcome for attempt in reach.attempts]
            assert found == [Outcome.OPEN, Outcome.NO_PROXY, Outcome.OPEN, Outcome.NO_PROXY, Outcome.REFUSED]
            assert told.told
            assert not told.refused


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
