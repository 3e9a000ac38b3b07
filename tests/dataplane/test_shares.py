"""New sessions over several backends in the kernel: by weight, few of them moved, and no table where none is needed."""

import asyncio
from collections import Counter as Tally
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

import pytest

from services.gateway_agent.dataplane import neighbours
from services.gateway_agent.dataplane.contents import read_contents
from services.gateway_agent.dataplane.maps import VERSIONED_KEY, Counter
from services.gateway_agent.dataplane.session_maps import Direction, SessionValue
from services.gateway_agent.dataplane.shares import in_order, shares
from services.gateway_agent.table import Address, Backend, PortMapping, Protocol, Service
from tests.support.tables import backends
from tests.support.wire import SYN, UDP, Segment, Wire
from tests.support.worlds import DNS, ENDPOINT, PATIENCE, WEB, KernelWorld, Vpc

pytestmark = pytest.mark.root

NOBODY = "10.0.0.77"  # an address of the consumer's network whose stack answers nothing, as it is not its own
ADDRESSES = tuple(f"10.0.0.{number}" for number in range(20, 24))
ALL = backends(*ADDRESSES)
ONE, TWO, THREE, FOUR = ALL
OPENING = Segment(NOBODY, ENDPOINT, 0, 80)
PORTS = range(10_000, 12_000)
MOVED_WITHOUT_NEED = 0.08  # of sessions: a slot in twenty may move, and a hash throws dice


@dataclass(slots=True)
class Scene:
    """Neither end's stack answers, so that a session is what the test makes of it."""

    world: KernelWorld
    payments: Vpc
    service: Service
    shop: Wire

    async def put(self, *listed: Backend) -> None:
        """Also waits until as many take sessions as may."""
        await self.world.put(replace(self.service, backends=listed))
        await self.taking(sum(not each.draining for each in listed))

    async def taking(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.takers() != count:
                await asyncio.sleep(0.001)

    def takers(self) -> int:
        return max(self.world.maps.services[number].high for number in range(8))

    async def open_all(self, segments: Iterable[Segment]) -> dict[int, Address]:
        """The backend of each new session, by the client's port; those that were there are forgotten."""
        sessions = self.world.maps.sessions
        for key, _ in list(sessions.items()):
            sessions.delete(key)
        sent, before = 0, await self.seen()
        for segment in segments:
            await self.shop.send_ipv4(segment.pack())
            sent += 1
        async with asyncio.timeout(PATIENCE):
            while await self.seen() < before + sent:
                await asyncio.sleep(0.001)
        entries = [SessionValue.unpack(value) for _, value in sessions.items()]
        consumers = [entry for entry in entries if entry.direction == Direction.FROM_CONSUMER]
        return {int.from_bytes(entry.key[8:10], "big"): IPv4Address(entry.other[0:4]) for entry in consumers}

    async def seen(self) -> int:
        """Openings that were forwarded or refused."""
        counts = await self.world.dataplane.counters()
        return counts[Counter.FORWARDED] + counts[Counter.REFUSED_NO_BACKEND]


@pytest.fixture
async def scene(world: KernelWorld) -> AsyncIterator[Scene]:
    shop, payments = await world.vpc("shop", "10.0.0.10"), await world.vpc("payments", *ADDRESSES)
    service = await world.publish(payments, ADDRESSES[0], ports=(WEB, DNS))
    await world.lead(shop, service)
    world.namespace(payments).ip("route", "delete", "198.19.128.0/17")
    yield Scene(world, payments, service, world.wire(shop))


def openings(protocol: int = OPENING.protocol) -> Iterable[Segment]:
    port = 53 if protocol == UDP else 80
    flags = 0 if protocol == UDP else SYN
    segment = replace(OPENING, destination_port=port, protocol=protocol, flags=flags)
    return (replace(segment, source_port=port) for port in PORTS)


@pytest.mark.parametrize("protocol", [OPENING.protocol, UDP], ids=["tcp", "udp"])
async def test_new_sessions_are_shared_out_by_weight(scene: Scene, protocol: int) -> None:
    weights: dict[Address, int] = {ONE.address: 1, TWO.address: 3, THREE.address: 16}
    await scene.put(*(Backend(address, weight) for address, weight in weights.items()))
    ends: Tally[Address] = Tally((await scene.open_all(openings(protocol))).values())
    assert ends.total() == len(PORTS)
    expected = {address: len(PORTS) * weight / sum(weights.values()) for address, weight in weights.items()}
    chi_squared = sum((ends[address] - count) ** 2 / count for address, count in expected.items())
    assert chi_squared < 30, f"{ends} instead of {expected}: one in three million by chance"


async def test_a_drained_backend_gets_no_session_and_an_undrained_one_gets_its_share_again(scene: Scene) -> None:
    await scene.put(*ALL)
    before = await scene.open_all(openings())
    await scene.put(*ALL[:3], replace(FOUR, draining=True))
    drained = await scene.open_all(openings())
    assert set(drained.values()) == {ONE.address, TWO.address, THREE.address}
    await scene.put(*ALL)
    assert await scene.open_all(openings()) == before


async def test_a_backend_that_stops_answering_leaves_only_its_share_to_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(neighbours, "RETRY_SECONDS", 0.05)
    await scene.put(*ALL)
    before = await scene.open_all(openings())
    scene.world.remove_host(scene.payments, str(TWO.address))
    await scene.taking(3)
    after = await scene.open_all(openings())
    assert TWO.address not in after.values()
    moved = [port for port in PORTS if before[port] not in (after[port], TWO.address)]
    assert len(moved) < MOVED_WITHOUT_NEED * len(PORTS), f"{len(moved)} of {len(PORTS)}"
    scene.world.add_hosts(scene.payments, str(TWO.address))
    await scene.taking(4)
    assert await scene.open_all(openings()) == before


async def test_where_all_are_draining_every_opening_is_refused_and_counted(scene: Scene) -> None:
    await scene.put(*(replace(each, draining=True) for each in ALL))
    before = await scene.world.dataplane.counters()
    assert await scene.open_all(openings()) == {}
    after = await scene.world.dataplane.counters()
    assert after[Counter.REFUSED_NO_BACKEND] - before[Counter.REFUSED_NO_BACKEND] == len(PORTS)


async def test_the_order_of_the_list_does_not_move_a_session(scene: Scene) -> None:
    await scene.put(*ALL)
    before = await scene.open_all(openings())
    await scene.put(*reversed(ALL))
    assert await scene.open_all(openings()) == before


async def test_a_table_is_there_only_where_several_backends_take_sessions(scene: Scene) -> None:
    tables = scene.world.maps.shares
    assert list(tables.items()) == []
    await scene.put(ONE, replace(TWO, weight=3))
    ((_, table),) = tables.items()
    assert table == shares(in_order((ONE, replace(TWO, weight=3))))
    await scene.put(*ALL)
    assert len(list(tables.items())) == 1
    for alone in ((ONE,), (ONE, replace(TWO, draining=True)), (replace(ONE, draining=True),)):
        await scene.put(*alone)
        assert list(tables.items()) == []
        assert read_contents(scene.world.maps).leftovers == []


@pytest.mark.parametrize("altered", [None, bytes(4027)], ids=["gone", "of one backend alone"])
async def test_a_table_that_somebody_else_altered_is_seen_and_made_anew(scene: Scene, altered: bytes | None) -> None:
    await scene.put(*ALL)
    tables, service = scene.world.maps.shares, replace(scene.service, backends=ALL)
    ((key, table),) = tables.items()
    tables.delete(key) if altered is None else tables.put(key, altered)
    read = (await scene.world.dataplane.read()).entries[service.key]
    assert read == replace(service, backends=())
    await scene.world.put(service)
    ((again, made),) = tables.items()
    assert made == table
    assert VERSIONED_KEY.unpack(again)[1] == VERSIONED_KEY.unpack(key)[1] + 1
    assert (await scene.world.dataplane.read()).entries[service.key] == service
    assert read_contents(scene.world.maps).leftovers == []


async def test_a_service_with_all_the_backends_it_may_have_uses_them_all(world: KernelWorld) -> None:
    addresses = [f"10.0.0.{number}" for number in range(100, 164)]
    shop, payments = await world.vpc("shop", "10.0.0.10"), await world.vpc("payments", *addresses)
    ports = (PortMapping(80, 8080, Protocol.TCP),)
    service = await world.publish(payments, *addresses, ports=ports)
    await world.lead(shop, service)
    world.namespace(payments).ip("route", "delete", "198.19.128.0/17")
    scene = Scene(world, payments, service, world.wire(shop))
    await scene.taking(64)
    ends = Tally((await scene.open_all(openings())).values())
    assert set(ends) == set(map(IPv4Address, addresses))
    assert max(ends.values()) < 70, f"31 each on average: {ends}"
