"""Sessions that keep their client's address are sessions like others: errors, fragments, records, limits and cuts."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from uuid import uuid4

import pytest

from services.gateway_agent.dataplane.endpoint_sources import NO_SOURCE
from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.flows import FULL
from services.gateway_agent.table import ClientIdentity, Endpoint, Limits, Service
from tests.dataplane.test_fragments import cut, joined, next_piece
from tests.dataplane.test_icmp import MTU, turned_round
from tests.support.icmp import QUOTED, TOO_LONG, UNREACHABLE, IcmpError, receive_error
from tests.support.wire import ACK, RST, SYN, TCP, UDP, Segment, Wire
from tests.support.worlds import DNS, ENDPOINT, PATIENCE, SOURCE, WEB, KernelWorld

pytestmark = pytest.mark.root

PROXY = ClientIdentity.PROXY
NOBODY, RESOLVER = "10.0.0.77", "169.254.0.53"
QUESTION = Segment(NOBODY, ENDPOINT, 40000, 53, UDP, payload=b"question")
OPENING = Segment(NOBODY, ENDPOINT, 40000, 80)


@dataclass(slots=True)
class Scene:
    """Nobody answers: what is sent is seen on the wires alone."""

    world: KernelWorld
    service: Service
    endpoint: Endpoint
    shop: Wire
    annex: Wire

    async def arrives(self, segment: Segment) -> Segment:
        """Sends it, and gives it as it came out."""
        await self.shop.send_ipv4(segment.pack())
        (seen,) = await self.annex.receive_through(segment.payload)
        assert seen.checksums_right
        ends = (seen.source, seen.destination, seen.source_port, seen.destination_port)
        assert ends == (segment.source, RESOLVER, segment.source_port, {53: 5353, 80: 8080}[segment.destination_port])
        return replace(segment, destination=RESOLVER, destination_port=seen.destination_port)


@pytest.fixture
async def scene(world: KernelWorld) -> Scene:
    shop, annex = await world.vpc("shop", "10.0.0.10"), await world.vpc("annex", RESOLVER)
    plain = await world.publish(annex, RESOLVER, ports=(WEB, DNS))
    await world.put(service := replace(plain, keeps_source=True))
    endpoint = await world.lead(shop, service, source=str(NO_SOURCE))
    world.dataplane.sample_flows(FULL)
    return Scene(world, service, endpoint, world.wire(shop), world.wire(annex))


async def test_answers_come_from_the_endpoint_to_the_client_that_asked(scene: Scene) -> None:
    arrived = await scene.arrives(QUESTION)
    await scene.annex.send_ipv4(replace(turned_round(arrived), payload=b"answer").pack())
    (seen,) = await scene.shop.receive_through(b"answer")
    assert (seen.source, seen.source_port) == (ENDPOINT, 53)
    assert (seen.destination, seen.destination_port, seen.checksums_right) == (NOBODY, 40000, True)


async def test_what_the_annex_sends_to_a_client_that_has_not_asked_passes_nowhere(scene: Scene) -> None:
    unasked = Segment(RESOLVER, NOBODY, 5353, 40000, UDP, payload=b"x")
    before = (await scene.world.dataplane.counters())[Counter.FORWARDED]
    await scene.world.counts_one(Counter.REFUSED_NO_ENDPOINT, scene.annex.send_ipv4(unasked.pack()))
    syn_ack = Segment(RESOLVER, NOBODY, 8080, 40000, TCP, SYN | ACK)
    await scene.world.counts_one(Counter.REFUSED_NO_SESSION, scene.annex.send_ipv4(syn_ack.pack()))
    assert (await scene.world.dataplane.counters())[Counter.FORWARDED] == before


async def test_errors_of_icmp_pass_both_ways(scene: Scene) -> None:
    arrived = await scene.arrives(QUESTION)
    error = IcmpError(RESOLVER, NOBODY, UNREACHABLE, TOO_LONG, arrived.pack()[:QUOTED], MTU)
    await scene.annex.send_ipv4(error.pack())
    told = await receive_error(scene.shop)
    assert told == replace(error, source=ENDPOINT, quoted=QUESTION.pack()[:QUOTED], ttl=63)
    error = IcmpError("10.0.0.1", ENDPOINT, UNREACHABLE, TOO_LONG, turned_round(QUESTION).pack()[:QUOTED], MTU)
    await scene.shop.send_ipv4(error.pack())
    told = await receive_error(scene.annex)
    quoted = turned_round(arrived).pack()[:QUOTED]
    assert told == replace(error, source=NOBODY, destination=RESOLVER, quoted=quoted, ttl=63)


async def test_pieces_of_a_datagram_keep_it_too(scene: Scene) -> None:
    whole = replace(QUESTION, payload=bytes(range(56)))
    for fragment in cut(whole.pack(), 16, 8):
        await scene.world.counts_one(Counter.FRAGMENT_FORWARDED, scene.shop.send_ipv4(fragment))
    came = joined([await next_piece(scene.annex) for _ in range(3)])
    assert (came.source, came.source_port, came.destination, came.payload) == (NOBODY, 40000, RESOLVER, whole.payload)


async def test_the_flow_log_has_those_through_a_proxy(scene: Scene) -> None:
    asked = replace(scene.service, id=str(uuid4()), keeps_source=False, ports=(replace(WEB, identity=PROXY),))
    endpoint = replace(scene.endpoint, service=asked.id, proxy=scene.service.id, source_address=IPv4Address(SOURCE))
    await scene.world.put(asked, endpoint)
    for flags in (SYN, RST, SYN):  # the last takes the place of what is over
        await scene.arrives(replace(OPENING, flags=flags))
    async with asyncio.timeout(PATIENCE), aclosing(scene.world.dataplane.flows()) as flows:
        record = await anext(flows)
    assert (record.endpoint, record.service) == (endpoint.id, asked.id)
    assert (str(record.client), record.client_port) == (NOBODY, 40000)
    assert (str(record.address), record.port, record.verdict) == (ENDPOINT, 80, "closed")


async def test_limits_hold_for_them(scene: Scene) -> None:
    await scene.world.put(replace(scene.service, limits=Limits(connections=1)))
    await scene.arrives(OPENING)
    again = replace(OPENING, source_port=40001)
    await scene.world.counts_one(Counter.REFUSED_LIMIT_CONNECTIONS, scene.shop.send_ipv4(again.pack()))


async def test_one_that_was_cut_gives_way_to_the_next_with_the_same_ports(scene: Scene) -> None:
    await scene.arrives(OPENING)
    await scene.world.put(replace(scene.endpoint, admission=2))
    cut_off = replace(OPENING, flags=ACK)
    await scene.world.counts_one(Counter.REFUSED_STALE_EPOCH, scene.shop.send_ipv4(cut_off.pack()))
    await scene.arrives(OPENING)
