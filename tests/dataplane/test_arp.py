"""Who is answered for, and whom the gateway finds: ARP in both directions."""

import asyncio
from time import monotonic

import pytest

from services.gateway_agent.dataplane.maps import BackendValue
from services.gateway_agent.dataplane.resolution import REWRITE_EVERY_SECONDS, REWRITES_AT_ONCE
from tests.support.agent import eventually
from tests.support.sites import IN_EVERY_WAY
from tests.support.wire import ARP, BROADCAST, Segment, Wire, arp_reply, arp_request, ethernet
from tests.support.worlds import ENDPOINT, PATIENCE, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, BACKEND = "10.0.0.10", "10.0.0.20"
IN_RANGE = "198.19.255.254"


async def answers(wire: Wire, frames: list[bytes]) -> list[str]:
    """The addresses that are answered for, up to the one of the source range that is asked for last."""
    for frame in [*frames, arp_request(wire.mac, CLIENT, IN_RANGE)]:
        await wire.send(frame)
    answered: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while IN_RANGE not in answered:
            reply = arp_reply(await wire.receive())
            if reply:
                assert reply[1] == wire.gateway
                answered.append(reply[0])
    return answered[:-1]


@pytest.fixture
async def vpcs(world: KernelWorld) -> tuple[Vpc, Vpc]:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    await world.lead(shop, await world.publish(payments, BACKEND))
    return shop, payments


@IN_EVERY_WAY
async def test_only_addresses_of_this_vpcs_endpoints_and_the_source_range_are_answered_for(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc]
) -> None:
    asked = [ENDPOINT, CLIENT, BACKEND, "10.0.0.1", "10.0.0.101", "198.19.127.255", "198.20.0.0", "198.19.128.1"]
    for vpc, expected in zip(vpcs, ([ENDPOINT, "198.19.128.1"], ["198.19.128.1"]), strict=True):
        wire = world.wire(vpc)
        assert await answers(wire, [arp_request(wire.mac, CLIENT, address) for address in asked]) == expected


@IN_EVERY_WAY
async def test_a_removed_endpoint_is_no_longer_answered_for(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    shop, payments = vpcs
    endpoint = await world.lead(shop, await world.publish(payments, BACKEND), "10.0.0.101", "198.19.128.8")
    wire = world.wire(shop)
    request = arp_request(wire.mac, CLIENT, "10.0.0.101")
    assert await answers(wire, [request]) == ["10.0.0.101"]
    await world.remove(endpoint)
    assert await answers(wire, [request]) == []


async def test_one_who_asks_whether_an_endpoints_address_is_free_is_told_that_it_is_not(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc]
) -> None:
    wire = world.wire(vpcs[0])
    assert await answers(wire, [arp_request(wire.mac, "0.0.0.0", ENDPOINT)]) == [ENDPOINT]  # noqa: S104 - RFC 5227


async def test_an_announcement_and_a_broken_request_are_not_answered(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    wire = world.wire(vpcs[0])
    request = arp_request(wire.mac, CLIENT, ENDPOINT)
    broken = [request[:20] + b"\0\7" + request[22:], request[:18] + b"\7\4" + request[20:], request[:40]]
    assert await answers(wire, [arp_request(wire.mac, ENDPOINT, ENDPOINT), *broken]) == []


@IN_EVERY_WAY
async def test_a_new_endpoint_is_announced(world: KernelWorld) -> None:
    """A host that asked before there was one need not wait until it asks again."""
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    service, wire = await world.publish(payments, BACKEND), world.wire(shop)
    await world.lead(shop, service)
    assert await wire.receive() == arp_request(wire.gateway, ENDPOINT, ENDPOINT)


@IN_EVERY_WAY
async def test_a_backend_that_checks_the_way_back_is_found(world: KernelWorld) -> None:
    shop, payments = await world.vpc("shop", CLIENT), await world.vpc("payments", BACKEND)
    for name in ("all", "sidegate0"):
        world.namespace(payments).set_sysctl(f"net.ipv4.conf.{name}.rp_filter", "1")
    await world.serve(payments, BACKEND, 8080)
    await world.lead(shop, await world.publish(payments, BACKEND))
    assert (await world.reaches(shop, CLIENT, ENDPOINT, 80)).backend == "web"


@IN_EVERY_WAY
async def test_a_backend_that_moves_is_found_as_soon_as_it_says_so(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    shop, payments = vpcs
    moved = bytes.fromhex("02000000aa01")
    wire = world.wire(payments)
    await wire.send(arp_request(moved, BACKEND, BACKEND))
    client = world.wire(shop)
    port, arrived = 40000, b""
    async with asyncio.timeout(PATIENCE):
        while arrived[:6] != moved:
            port += 1  # an open session stays with the backend as it was
            await client.send_ipv4(Segment(CLIENT, ENDPOINT, port, 80).pack())
            arrived = await wire.receive()
            await asyncio.sleep(0)  # the gateway listens in this event loop


async def test_a_backend_that_moves_again_and_again_takes_so_much_of_the_gateway_and_is_found_in_the_end(
    world: KernelWorld, vpcs: tuple[Vpc, Vpc], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each move rewrote every service of the backend, in the loop that cuts and drains for everybody."""
    resolution, rewritten = world.dataplane._kernel.resolution, list[float]()
    write = resolution._write

    def noted(service: str) -> None:
        rewritten.append(monotonic())
        write(service)

    monkeypatch.setattr(resolution, "_write", noted)
    wire, last = world.wire(vpcs[1]), bytes.fromhex("0200000000ff")
    for number in range(100):
        await wire.send(arp_request(bytes.fromhex(f"020000000a{number % 2:02x}"), BACKEND, BACKEND))
        await asyncio.sleep(0)  # the gateway listens in this event loop
    await wire.send(arp_request(last, BACKEND, BACKEND))
    await eventually("the last place to be in the kernel", lambda: _places(world) == {last})
    taken = rewritten[-1] - rewritten[0]
    assert len(rewritten) <= REWRITES_AT_ONCE + 2 + taken / REWRITE_EVERY_SECONDS


def _places(world: KernelWorld) -> set[bytes]:
    return {BackendValue.unpack(value).mac for _, value in world.maps.backends.items() if any(value)}


@IN_EVERY_WAY
async def test_what_an_unasked_host_says_changes_nothing(world: KernelWorld, vpcs: tuple[Vpc, Vpc]) -> None:
    """A reply from the consumer's network for the backend's address is not heard in the provider's."""
    await world.serve(vpcs[1], BACKEND, 8080)
    wire = world.wire(vpcs[0])
    forged = arp_request(wire.mac, BACKEND, BACKEND)
    await wire.send(forged)
    await wire.send(ethernet(BROADCAST, wire.mac, ARP, forged[14:20] + b"\0\2" + forged[22:]))
    assert (await world.reaches(vpcs[0], CLIENT, ENDPOINT, 80)).backend == "web"
