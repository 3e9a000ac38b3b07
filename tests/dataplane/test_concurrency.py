"""Changes while packets come in on another CPU: no mixture of old and new is ever seen."""

import asyncio
import itertools
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from uuid import uuid4

import pytest

from services.common.clock import SECOND
from services.gateway_agent.dataplane.maps import (
    Counter,
    EndpointValue,
)
from services.gateway_agent.dataplane.memory import Pair
from services.gateway_agent.dataplane.session_maps import SessionValue
from services.gateway_agent.table import ClientIdentity, Endpoint, PortMapping, Protocol, Route, Service
from tests.support.tables import backends
from tests.support.wire import ACK, IPV4, Seen, Segment, Wire, ethernet
from tests.support.worlds import ENDPOINT, KernelWorld

pytestmark = pytest.mark.root

NOBODY = "10.0.0.77"  # whose stack answers nothing, as the address is nobody's
BACKENDS = ("10.0.0.20", "10.0.0.21", "10.0.0.22")
OPENING = Segment(NOBODY, ENDPOINT, 0, 80)
PROXIED = PortMapping(80, 8080, Protocol.TCP, ClientIdentity.PROXY)
ROUNDS, PATIENCE = 300, 60.0
IN_AN_AGE = 4_000_000_000 * SECOND  # nanoseconds since the epoch


@dataclass(slots=True)
class Scene:
    world: KernelWorld
    endpoint: Endpoint
    service: Service
    shop: Wire

    async def counts(self, *counters: Counter) -> int:
        counted = await self.world.dataplane.counters()
        return sum(counted[counter] for counter in counters)

    async def rounds(self, *counters: Counter, least: int = ROUNDS, packets: int = ROUNDS) -> AsyncIterator[int]:
        """Numbers of changes: the `least`, and as many more as it takes for more than so many `packets` on each of the
        counters: the scheduler has its say."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        for number in itertools.count():
            counted = [await self.counts(counter) for counter in counters] if number >= least else [0]
            if min(counted) > packets:
                return
            assert asyncio.get_running_loop().time() < deadline, f"{counted} packets in that time"
            yield number
            await asyncio.sleep(0)

    @contextmanager
    def sending(self, frames: Iterator[bytes]) -> Iterator[None]:
        """A thread on a CPU of its own sends them until the block ends."""
        done, begun = threading.Event(), threading.Event()

        def send() -> None:
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # of this thread alone
            for frame in frames:
                self.shop.send_now(frame)
                begun.set()
                if done.is_set():
                    return

        thread = threading.Thread(target=send)
        thread.start()
        try:
            begun.wait()
            yield
        finally:
            done.set()
            thread.join()

    def openings(self, address: str = ENDPOINT) -> Iterator[bytes]:
        """Each opens a session of its own, over and over."""
        segments = (replace(OPENING, destination=address, source_port=port) for port in range(20_000, 22_000))
        frames = [ethernet(self.shop.gateway, self.shop.mac, IPV4, segment.pack()) for segment in segments]
        return itertools.cycle(frames)


@pytest.fixture
async def scene(world: KernelWorld) -> Scene:
    shop, payments = await world.vpc("shop", "10.0.0.10"), await world.vpc("payments", *BACKENDS)
    service = await world.publish(payments, *BACKENDS)
    endpoint = await world.lead(shop, service)
    world.namespace(payments).ip("route", "delete", "198.19.128.0/17")
    return Scene(world, endpoint, service, world.wire(shop))


async def test_other_lists_that_allow_the_same_refuse_nobody(scene: Scene) -> None:
    whitelists = [(IPv4Network("10.0.0.0/8"),), (IPv4Network("10.0.0.0/24"), IPv4Network("192.0.2.0/24"))]
    lists = [backends(*order) for order in (BACKENDS, BACKENDS[::-1])]
    with scene.sending(scene.openings()):
        async for number in scene.rounds(Counter.FORWARDED):
            allowed, order = whitelists[number % 2], lists[number % 2]
            await scene.world.put(replace(scene.endpoint, allowed=allowed), replace(scene.service, backends=order[:2]))
    refused = Counter.REFUSED_NOT_ALLOWED, Counter.REFUSED_NO_PORT, Counter.REFUSED_NO_BACKEND
    assert await scene.counts(*refused) == 0


async def test_other_routes_that_allow_the_same_refuse_nobody(scene: Scene) -> None:
    whole, upper = IPv4Network("10.0.0.100/30"), IPv4Network("10.0.0.102/31")
    policies = ((Route(whole),), (Route(whole, denied=True), Route(upper, ports=((Protocol.TCP, 80),))))
    await scene.world.put(replace(scene.endpoint, routes=policies[0]))
    with scene.sending(scene.openings("10.0.0.102")):
        async for number in scene.rounds(Counter.FORWARDED):
            await scene.world.put(replace(scene.endpoint, routes=policies[number % 2]))
    refused = Counter.REFUSED_NOT_ALLOWED, Counter.REFUSED_DENIED, Counter.REFUSED_NO_ENDPOINT
    assert await scene.counts(*refused) == 0


async def test_another_proxy_refuses_nobody(scene: Scene) -> None:
    first, second = proxies(scene)
    await scene.world.put(
        first, second, replace(scene.service, ports=(PROXIED,)), replace(scene.endpoint, proxy=first.id)
    )
    with scene.sending(scene.openings()):
        async for number in scene.rounds(Counter.SESSION_NEW):
            admission = 2 + number - number % 10  # now and then another, so that there are openings again
            await scene.world.put(replace(scene.endpoint, proxy=(second, first)[number % 2].id, admission=admission))
    assert await scene.counts(Counter.REFUSED_NO_PROXY, Counter.REFUSED_NO_BACKEND) == 0


async def test_the_number_of_a_proxy_that_went_leads_to_nobody_elses_backends(scene: Scene) -> None:
    world, (proxy, _) = scene.world, proxies(scene)
    another = await world.vpc("other", BACKENDS[0])
    to_other = world.wire(another)
    other = replace(await world.publish(another, BACKENDS[0]), id=str(uuid4()))
    await world.put(proxy, replace(scene.service, ports=(PROXIED,)))
    with scene.sending(scene.openings()):
        async for admission in scene.rounds(Counter.REFUSED_NO_PROXY, Counter.SESSION_NEW, least=100, packets=0):
            endpoint = replace(scene.endpoint, admission=2 + admission)
            await world.put(replace(endpoint, proxy=proxy.id), endpoint)
            await world.remove(proxy)
            await world.put(other)
            await asyncio.sleep(0)
            await world.remove(other)
            await world.put(proxy)
    with suppress(TimeoutError):
        while True:
            frame = await to_other.receive(patience=0)
            assert Seen.read(frame) is None, "a client of the endpoint was led to another tenant's backend"


def proxies(scene: Scene) -> tuple[Service, Service]:
    """Both take the clients of the endpoint, and keep their addresses."""
    plain = replace(scene.service, backends=backends(BACKENDS[0]), keeps_source=True)
    first, second = ((PortMapping(80, port, Protocol.TCP),) for port in (9001, 9002))
    return replace(plain, id=str(uuid4()), ports=first), replace(plain, id=str(uuid4()), ports=second)


async def test_a_session_that_opens_during_a_cut_has_the_epoch_of_its_endpoint(scene: Scene) -> None:
    ((_, value),) = scene.world.maps.endpoints.items()
    endpoint = EndpointValue.unpack(value)
    slots = scene.world.maps.slots
    _, allow_version = slots[endpoint.slot]
    with scene.sending(scene.openings()):
        async with asyncio.timeout(30):  # until a cut has met an opening: how soon is the scheduler's to say
            while not (await scene.counts(Counter.REFUSED_STALE_EPOCH) and await scene.counts(Counter.SESSION_NEW)):
                for epoch in itertools.islice(itertools.cycle([endpoint.epoch + 1, endpoint.epoch]), 100 * ROUNDS):
                    slots[endpoint.slot] = Pair(epoch, allow_version)
        # The next session to open stays: those before it may all have met a cut.
        await scene.world.counts_more(Counter.FORWARDED, than=await scene.counts(Counter.FORWARDED))
    sessions = [SessionValue.unpack(entry) for _, entry in scene.world.maps.sessions.items()]
    assert sessions
    assert {session.epoch for session in sessions} == {endpoint.epoch}


@pytest.mark.parametrize("prefix", ["", "10.0.0.100/30"], ids=["by its address", "by a route"])
async def test_an_entry_that_is_filled_anew_for_another_tenant_opens_nothing_of_his(scene: Scene, prefix: str) -> None:
    world, routes = scene.world, (Route(IPv4Network(prefix)),) if prefix else ()
    first = replace(scene.endpoint, routes=routes)
    await world.put(first)
    other_shop, other_payments = await world.vpc("other-shop", "10.0.0.10"), await world.vpc("other", BACKENDS[0])
    other = await world.lead(other_shop, await world.publish(other_payments, BACKENDS[0]))
    other = replace(other, routes=routes)
    to_other, last = world.wire(other_payments), replace(OPENING, source_port=1000, payload=b"last")
    with scene.sending(scene.openings("10.0.0.102" if prefix else ENDPOINT)):
        async for _ in scene.rounds(Counter.SESSION_NEW, least=ROUNDS // 2, packets=0):
            for leaving, coming in ((first, other), (other, first)):
                await world.remove(leaving)
                await world.put(coming)
                await asyncio.sleep(0)
        await world.remove(first)
        await world.put(other)
    await world.wire(other_shop).send_ipv4(last.pack())
    assert [packet.payload for packet in await to_other.receive_through(b"last")] == [b"last"]


async def test_from_the_moment_in_which_it_drains_no_session_opens(scene: Scene) -> None:
    world = scene.world
    with scene.sending(scene.openings()):
        for _ in range(ROUNDS // 10):
            await world.counts_more(Counter.FORWARDED, than=await scene.counts(Counter.FORWARDED))
            await world.put(replace(scene.endpoint, draining_until=IN_AN_AGE))
            # Packets come one after another: once one is refused, those before it are through.
            await world.counts_more(Counter.REFUSED_DRAINING, than=await scene.counts(Counter.REFUSED_DRAINING))
            opened, refused = await scene.counts(Counter.SESSION_NEW), await scene.counts(Counter.REFUSED_DRAINING)
            await world.counts_more(Counter.REFUSED_DRAINING, than=refused)
            assert await scene.counts(Counter.SESSION_NEW) == opened
            await world.put(scene.endpoint)
    assert await scene.counts(Counter.REFUSED_STALE_EPOCH, Counter.REFUSED_NOT_ALLOWED) == 0


async def test_after_a_cut_no_packet_of_an_old_session_passes(scene: Scene) -> None:
    """From the moment in which `apply` is done: what passes afterwards was not sent by an old session."""
    world = scene.world
    await scene.shop.send_ipv4(replace(OPENING, source_port=1000).pack())
    data = replace(OPENING, source_port=1000, flags=ACK).pack()
    frame = ethernet(scene.shop.gateway, scene.shop.mac, IPV4, data)
    with scene.sending(itertools.repeat(frame)):
        await world.remove(scene.endpoint)
        await world.counts_more(Counter.REFUSED_STALE_EPOCH, than=0)
        forwarded = await scene.counts(Counter.FORWARDED)
        await world.counts_more(Counter.REFUSED_STALE_EPOCH, than=await scene.counts(Counter.REFUSED_STALE_EPOCH))
    assert await scene.counts(Counter.FORWARDED) == forwarded
