"""What gateways tell of traffic, as each side reads it, and as nobody else does."""

from collections.abc import AsyncIterator, Mapping
from itertools import count
from pathlib import Path

import pytest
from google.protobuf.message import Message

from services.common.errors import NotFound
from services.common.principal import Principal
from services.endpoint.domain.presence import Presence
from services.endpoint.domain.refusals import CAUSES, Cause, causes_of, for_consumer, for_provider
from services.endpoint.wire.traffic import told_of
from services.endpoint.wire.traffic_answers import (
    endpoint_traffic,
    gateway_message,
    passing_traffic,
    service_traffic,
)
from services.gateway_agent.dataplane.maps import Counter
from sidegate.api.gateway.v1 import traffic_pb2 as told_pb
from tests.support.endpoint_service import (
    CONSUMER,
    OPEN_SERVICE,
    PROVIDER,
    SERVICE,
    STRANGER,
    EndpointWorld,
    endpoint_world,
)

NUMBERS = count(1)
EVERY_REASON = {each.removeprefix("refused_") for each in Counter if each.startswith("refused_")}
CONSUMERS = {"whitelist", "policy", "spoofed", "port", "closed", "packet", "service"}
PROVIDERS = {"port", "closed", "packet", "backend", "proxy", "source_port", "gateway"} | {
    "limit_connections",
    "limit_new",
    "limit_rate",
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EndpointWorld]:
    async with endpoint_world(tmp_path) as world:
        yield world


async def tell(
    world: EndpointWorld, counts: Mapping[str, int], *, gateway: str = "gw-1", session: str = "", sessions: int = 1
) -> bool:
    """A report of so many packets of each endpoint, of each reason one refused packet more than there are of those."""
    request = told_pb.ReportTrafficRequest(
        gateway_id=gateway,
        session_id=session or world.sessions[gateway],
        number=next(NUMBERS),
        counting="boot",
        complete=True,
        condition=told_pb.GatewayCondition(position=3, in_sync=True, version="1", session_capacity=10, sessions=1),
    )
    request.since_last.FromSeconds(2)
    for endpoint, number in counts.items():
        passed = told_pb.Traffic(
            sessions=sessions,
            sessions_made=number,
            packets_in=number,
            bytes_in=100 * number,
            packets_out=1,
            bytes_out=9,
        )
        passed.refused.update(dict.fromkeys((*EVERY_REASON, "newer_than_we_are"), number))
        request.endpoints.add(endpoint_id=endpoint, traffic=passed)
    return await world.app.reports.take(gateway, told_of(request))


async def begun(world: EndpointWorld, service: str = OPEN_SERVICE) -> str:
    """An endpoint, and gw-1 that has told all once."""
    await world.join()
    created = await world.create(service)
    await world.forwarding(created.id)
    assert await tell(world, {})
    return created.id


async def test_each_side_reads_the_same_packets_and_of_refusals_what_is_its_to_know(world: EndpointWorld) -> None:
    endpoint = await begun(world)
    assert await tell(world, {endpoint: 3})
    seen = await world.app.traffic.of_endpoint(endpoint, CONSUMER, "fine")
    mine = endpoint_traffic(endpoint, seen)
    theirs = service_traffic(OPEN_SERVICE, world.app.traffic.of_service(OPEN_SERVICE, PROVIDER, "fine", 10))
    (connection,) = theirs.connections
    shown = await world.get(endpoint)
    assert (connection.endpoint_id, connection.marker_id, connection.account) == (
        endpoint,
        shown.marker_id,
        CONSUMER.account,
    )
    for each in (mine.total, theirs.total, connection.total, mine.series.samples[-1], theirs.series.samples[-1]):
        assert (each.sessions, each.packets_in, each.bytes_in, each.bytes_out) == (1, 3, 300, 9)
    assert (mine.rates.bytes_in, theirs.rates.bytes_in, connection.rates.packets_in) == (150, 150, 1.5)
    assert {*mine.total.refused} == {*mine.series.samples[-1].refused} == CONSUMERS
    assert {*theirs.total.refused} == {*connection.total.refused} == {*theirs.series.samples[-1].refused} == PROVIDERS
    assert sum(mine.total.refused.values()) == 3 * (len(EVERY_REASON) + 1), "nothing is left out for the consumer"
    assert mine.rates.refused == sum(mine.total.refused.values()) / 2
    assert theirs.rates.refused == sum(theirs.total.refused.values()) / 2 < mine.rates.refused


async def test_neither_side_reads_anything_of_the_others_network_or_of_gateways(world: EndpointWorld) -> None:
    endpoint = await begun(world)
    await world.join("gw-2")
    await world.forwarding(endpoint, "gw-2")
    assert await tell(world, {}, gateway="gw-2")
    for gateway in ("gw-1", "gw-2"):
        assert await tell(world, {endpoint: 3}, gateway=gateway)
    shown = await world.get(endpoint)
    mine: list[Message] = [endpoint_traffic(endpoint, await world.app.traffic.of_endpoint(endpoint, CONSUMER, "fine"))]
    found = await world.app.traffic.of_connection(OPEN_SERVICE, endpoint, PROVIDER, "coarse")
    theirs: list[Message] = [service_traffic(OPEN_SERVICE, found)]
    mine += map(passing_traffic, world.app.traffic.passing(CONSUMER, "", 10))
    theirs += map(passing_traffic, world.app.traffic.passing(PROVIDER, "", 10))
    secrets = [b"gw-1", b"gw-2", b"198.19."]
    for message in mine:
        for secret in (*secrets, b"10.0.0.10", PROVIDER.account.encode(), PROVIDER.project.encode()):
            assert secret not in message.SerializeToString()
    for message in theirs:
        for secret in (*secrets, shown.address.encode(), shown.subnet_id.encode(), shown.vpc_id.encode()):
            assert secret not in message.SerializeToString()


async def test_what_is_anothers_is_not_there(world: EndpointWorld) -> None:
    endpoint = await begun(world)
    assert await tell(world, {endpoint: 3})
    traffic = world.app.traffic
    for other in (PROVIDER, STRANGER):
        with pytest.raises(NotFound, match=f"endpoint {endpoint} is not there"):
            await traffic.of_endpoint(endpoint, other, "fine")
    for other, service in ((CONSUMER, OPEN_SERVICE), (STRANGER, OPEN_SERVICE), (PROVIDER, SERVICE)):
        with pytest.raises(NotFound, match=f"connection {endpoint} is not there"):
            await traffic.of_connection(service, endpoint, other, "fine")
    nobodys = service_traffic(OPEN_SERVICE, traffic.of_service(OPEN_SERVICE, Principal("no", "body"), "fine", 10))
    for other in (CONSUMER, STRANGER):
        answer = service_traffic(OPEN_SERVICE, traffic.of_service(OPEN_SERVICE, other, "fine", 10))
        assert answer.SerializeToString() == nobodys.SerializeToString()
    assert traffic.passing(STRANGER, "", 10) == []
    await world.delete(endpoint)
    await world.say(endpoint, Presence.ABSENT)
    with pytest.raises(NotFound):
        await traffic.of_endpoint(endpoint, CONSUMER, "fine")


async def test_a_gateway_of_another_cell_or_without_a_membership_adds_nothing(world: EndpointWorld) -> None:
    endpoint = await begun(world)
    assert await tell(world, {endpoint: 3})
    await world.join("gw-9", "west")
    assert await tell(world, {}, gateway="gw-9")
    assert await tell(world, {endpoint: 1000}, gateway="gw-9")
    assert not await tell(world, {endpoint: 1000}, session="another")
    assert not await tell(world, {endpoint: 1000}, gateway="gw-8", session="none")
    before, made = world.sessions["gw-1"], 4
    await world.join()
    assert not await tell(world, {endpoint: 1000}, session=before), "it has joined again"
    assert await tell(world, {endpoint: made})
    seen = await world.app.traffic.of_endpoint(endpoint, CONSUMER, "fine")
    assert seen.total.passed.packets_in == made


async def test_the_operator_reads_gateways_that_are_joined_or_lost(world: EndpointWorld) -> None:
    endpoint = await begun(world)
    await world.join("gw-2", "west")
    assert await tell(world, {endpoint: 3})
    here, other = map(gateway_message, world.app.gateways.listed("", "", 10))
    assert (here.gateway_id, here.cell, here.in_sync, here.version, here.position) == ("gw-1", "default", True, "1", 3)
    assert (here.total.packets_in, here.total.sessions, here.session_capacity, here.rates.bytes_in) == (3, 1, 10, 150)
    assert (other.gateway_id, other.HasField("total"), other.report_time.ToNanoseconds()) == (
        "gw-2",
        False,
        world.clock(),
    )
    assert [each.member.id for each in world.app.gateways.listed("west", "", 10)] == ["gw-2"]
    assert [each.member.id for each in world.app.gateways.listed("", "gw-1", 10)] == ["gw-2"]
    world.clock.advance(60)
    await world.app.cells.tick()
    lost = gateway_message(world.app.gateways.listed("", "", 1)[0])
    assert (lost.state, lost.total.sessions, lost.rates.bytes_in) == (lost.STATE_LOST, 0, 0)
    assert (await world.app.traffic.of_endpoint(endpoint, CONSUMER, "fine")).total.sessions == 0
    await world.app.cells.retire("gw-1")
    assert [each.member.id for each in world.app.gateways.listed("", "", 10)] == ["gw-2"]


def test_every_reason_of_a_gateway_has_its_cause() -> None:
    assert {*CAUSES} == EVERY_REASON
    assert causes_of({"not_allowed": 2, "unheard_of": 1, "ttl": 3, "options": 4, "no_port": 0, "denied": -5}) == {
        Cause.WHITELIST: 2,
        Cause.OTHER: 1,
        Cause.PACKET: 7,
    }


def test_what_a_consumer_lets_in_is_not_in_what_a_provider_reads_nor_backends_in_what_a_consumer_does() -> None:
    assert {*for_provider(dict.fromkeys(Cause, 1))} == PROVIDERS
    assert for_consumer(dict.fromkeys(Cause, 1)) == {**dict.fromkeys(CONSUMERS, 1), "service": len(Cause) - 6}
