"""An agent that is killed by SIGKILL before any write of a change: nothing passes wrongly, the next agent heals it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from itertools import count

import pytest

from services.common.clock import SECOND
from services.gateway_agent.dataplane import kernel
from services.gateway_agent.dataplane.contents import read_contents
from services.gateway_agent.dataplane.fake import FakeDataplane
from services.gateway_agent.dataplane.fake_kernel import Flow, Packet, TcpFlags
from services.gateway_agent.dataplane.libbpf import Map
from services.gateway_agent.dataplane.maps import NO_DEVICE, NUMBER, Counter, ServiceRecord, ServiceWord, pack_id
from services.gateway_agent.table import (
    Affinity,
    Backend,
    Change,
    Endpoint,
    Entry,
    ForwardingTable,
    Kind,
    Limits,
    PortMapping,
    Protocol,
    Put,
    Remove,
    Route,
    Service,
    Timeouts,
)
from services.gateway_agent.targets import Vxlan
from tests.support.killing import killed_before_write
from tests.support.tables import backends
from tests.support.wire import ACK, SYN, Segment, Wire
from tests.support.worlds import ENDPOINT, PATIENCE, KernelWorld, Vpc

pytestmark = pytest.mark.root

CLIENT, OTHER_CLIENT = "10.0.0.77", "10.0.0.78"
BACKEND, OTHER_BACKEND = "10.0.0.20", "10.0.0.21"
ONE, OTHER = backends(BACKEND, OTHER_BACKEND)
OTHER_ENDPOINT = "10.0.0.101"
MORE = tuple(IPv4Address(f"198.19.200.{number}") for number in (1, 2, 3))
MOST_WRITES = 40
FORWARDED, PASSED = (NUMBER.pack(list(Counter).index(each)) for each in (Counter.FORWARDED, Counter.ARP_PASSED))
LIMITS = Limits(connections=1000, new_connections_per_second=1000, bits_per_second=10**9)
BOTH, LOWER, UPPER = (IPv4Network(each) for each in ("10.0.0.100/31", "10.0.0.100/32", "10.0.0.101/32"))
ALL = (Route(BOTH),)
POLICY = (Route(BOTH, ports=((Protocol.TCP, 80), (Protocol.UDP, 53))), Route(UPPER, denied=True))
IN_AN_AGE = 4_000_000_000 * SECOND  # nanoseconds since the epoch

Outcome = tuple[str, str, int] | None  # source, destination and its port of what came out


@dataclass(slots=True)
class Scene:
    """`shop` with an endpoint that leads to `payments`, wires to send by, and the fake to say what may come out."""

    world: KernelWorld
    shop: Vpc
    payments: Vpc
    from_shop: Wire
    to_payments: Wire
    service: Service
    endpoint: Endpoint
    spare: Vpc
    source_ports: Iterator[int]
    counters: Map  # open also while no agent lives

    @property
    def entries(self) -> list[Entry]:
        return [self.shop.attachment, self.payments.attachment, self.service, self.endpoint]

    async def converge(self, wanted: Sequence[Entry]) -> None:
        """What an agent does: what is there and not wanted goes, users first; then what is missing comes."""
        table = await self.world.dataplane.read()
        keys, order = {entry.key for entry in wanted}, list(Kind)
        unwanted = [entry for key, entry in table.entries.items() if key not in keys]
        await self.world.remove(*sorted(unwanted, key=lambda entry: -order.index(entry.key.kind)))
        await self.world.put(*(entry for entry in wanted if table.entries.get(entry.key) != entry))
        assert await self.world.dataplane.read() == ForwardingTable.of(wanted)
        async with asyncio.timeout(PATIENCE):
            while any(key.kind is Kind.ATTACHMENT for key in self.world.dataplane.difficulties()):
                await self.world.dataplane.wait_for_news()
            while not all(self.all_answer(entry) for entry in wanted if isinstance(entry, Service)):
                await asyncio.sleep(0)

    def all_answer(self, service: Service) -> bool:
        """Whether every backend of the service that may take sessions does."""
        record = ServiceRecord.unpack(self.world.maps.service_names.get(pack_id(service.id)) or b"")
        takers = sum(not backend.draining for backend in service.backends)
        return ServiceWord.unpack(self.world.maps.services[record.service]).takers == takers

    def probes(self) -> list[Segment]:
        """New connections, each from a port of its own."""
        return [
            Segment(client, address, next(self.source_ports), port)
            for client in (CLIENT, OTHER_CLIENT)
            for address in (ENDPOINT, OTHER_ENDPOINT)
            for port in (80, 81)
        ]

    async def outcome(self, segment: Segment) -> Outcome:
        before = self.counts()
        await self.from_shop.send_ipv4(segment.pack())
        async with asyncio.timeout(PATIENCE):
            while (after := self.counts()) == before:
                await asyncio.sleep(0)
        if after[FORWARDED] == before[FORWARDED]:
            return None
        (seen,) = await self.to_payments.receive_through(b"")
        return seen.source, seen.destination, seen.destination_port

    def counts(self) -> dict[bytes, bytes]:
        """How often each was counted on each CPU, but for ARP: machines answer when they like."""
        return {key: value for key, value in self.counters.items() if key != PASSED}

    async def oracle(self, entries: Sequence[Entry]) -> FakeDataplane:
        fake = FakeDataplane()
        await fake.open()
        for entry in entries:
            await fake.apply(Put(entry))
        return fake

    async def allowed(self, oracle: FakeDataplane, segment: Segment) -> frozenset[Outcome]:
        """What may become of a packet: a new session may end at any backend that takes them, and come from any source
        address of its endpoint.
        """
        outcome, entries = await self.one_allowed(oracle, segment), oracle.kernel.entries
        service = entries.service(self.service.id)
        endpoint = entries.endpoint_for(self.shop.id, IPv4Address(segment.destination))
        if outcome is None or service is None or endpoint is None:
            return frozenset({None})
        if outcome[0] == segment.source:  # it is kept, and the service has one backend
            return frozenset({outcome})
        sources, takers = (endpoint.source_address, *endpoint.more_sources), oracle.kernel.takers(service)
        return frozenset((str(each), str(taker.address), outcome[2]) for each in sources for taker in takers)

    async def one_allowed(self, oracle: FakeDataplane, segment: Segment) -> Outcome:
        source, destination = IPv4Address(segment.source), IPv4Address(segment.destination)
        flow = Flow(self.shop.id, Protocol.TCP, source, segment.source_port, destination, segment.destination_port)
        sent = await oracle.send(Packet(flow, TcpFlags.SYN if segment.flags == SYN else TcpFlags.ACK))
        return (str(sent.flow.source), str(sent.flow.destination), sent.flow.destination_port) if sent else None


@pytest.fixture
async def scene(world: KernelWorld, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """All agents have the program that the first has loaded: to load it takes longer than all the rest."""
    loaded = world.dataplane._kernel._loaded
    monkeypatch.setattr(loaded, "close", lambda: None)
    monkeypatch.setattr(kernel, "load", lambda *_: loaded)
    shop, payments = await world.vpc("shop", "10.0.0.10"), await world.vpc("payments", BACKEND, OTHER_BACKEND)
    service = await world.publish(payments, BACKEND)
    endpoint = await world.lead(shop, service)
    world.namespace(payments).ip("route", "delete", "198.19.128.0/17")  # nobody answers: a probe is one packet
    counters = replace(world.maps.counters, fd=os.dup(world.maps.counters.fd))
    wires, spare = (world.wire(shop), world.wire(payments)), world.unattached("spare")
    yield Scene(world, shop, payments, *wires, service, endpoint, spare, count(10_000), counters)
    os.close(counters.fd)


Alter = Callable[[Scene], tuple[list[Entry], list[Entry], Change]]


def with_other(scene: Scene, service: Service | None = None, endpoint: Endpoint | None = None) -> list[Entry]:
    attachments: list[Entry] = [scene.shop.attachment, scene.payments.attachment]
    return [*attachments, service or scene.service, endpoint or scene.endpoint]


def change_of_endpoint(**values: object) -> Alter:
    def alter(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
        before = replace(scene.endpoint, allowed=(IPv4Network(f"{CLIENT}/32"), IPv4Network(f"{OTHER_CLIENT}/32")))
        after = replace(before, **values)  # type: ignore[arg-type]  # the fields of the dataclass
        return with_other(scene, endpoint=before), with_other(scene, endpoint=after), Put(after)

    return alter


def change_of_sources(before: tuple[IPv4Address, ...], after: tuple[IPv4Address, ...]) -> Alter:
    def alter(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
        old, new = (replace(scene.endpoint, more_sources=more) for more in (before, after))
        return with_other(scene, endpoint=old), with_other(scene, endpoint=new), Put(new)

    return alter


def change_of_routes(before: tuple[Route, ...] | None, after: tuple[Route, ...] | None, **values: object) -> Alter:
    """None: there is no endpoint."""

    def alter(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
        old, new = (None if routes is None else replace(scene.endpoint, routes=routes) for routes in (before, after))
        if new and values:
            new = replace(new, **values)  # type: ignore[arg-type]  # the fields of the dataclass
        both = [with_other(scene, endpoint=each) if each else scene.entries[:3] for each in (old, new)]
        return both[0], both[1], Put(new) if new else Remove(scene.endpoint.key)

    return alter


def change_of_drain(until: int) -> Alter:
    def alter(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
        before, after = (replace(scene.endpoint, draining_until=each) for each in (IN_AN_AGE, until))
        return with_other(scene, endpoint=before), with_other(scene, endpoint=after), Put(after)

    return alter


def change_of_service(**values: object) -> Alter:
    def alter(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
        after = replace(scene.service, **values)  # type: ignore[arg-type]  # the fields of the dataclass
        return with_other(scene), with_other(scene, service=after), Put(after)

    return alter


def change_of_backends(before: tuple[Backend, ...], after: tuple[Backend, ...]) -> Alter:
    def alter(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
        old, new = (replace(scene.service, backends=backends) for backends in (before, after))
        return with_other(scene, service=old), with_other(scene, service=new), Put(new)

    return alter


def removed_backends(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
    """All of them with their service, which has nothing that leads to it."""
    both = replace(scene.service, backends=(ONE, OTHER))
    return [*scene.entries[:2], both], scene.entries[:2], Remove(both.key)


def new_endpoint(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
    return scene.entries[:3], scene.entries, Put(scene.endpoint)


def removed_endpoint(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
    return scene.entries, scene.entries[:3], Remove(scene.endpoint.key)


def new_service(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
    return scene.entries[:2], scene.entries[:3], Put(scene.service)


def removed_service(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
    return scene.entries[:3], scene.entries[:2], Remove(scene.service.key)


def new_attachment(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
    return scene.entries, [*scene.entries, scene.spare.attachment], Put(scene.spare.attachment)


def removed_attachment(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
    return [*scene.entries, scene.spare.attachment], scene.entries, Remove(scene.spare.attachment.key)


def fewer_remote_hosts(scene: Scene) -> tuple[list[Entry], list[Entry], Change]:
    target = scene.spare.attachment.target
    assert isinstance(target, Vxlan)
    fewer = replace(scene.spare.attachment, target=replace(target, remotes=target.remotes[:1]))
    return [*scene.entries, scene.spare.attachment], [*scene.entries, fewer], Put(fewer)


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(new_endpoint, id="a new endpoint"),
        pytest.param(removed_endpoint, id="a removed endpoint"),
        pytest.param(change_of_endpoint(admission=2), id="another admission"),
        pytest.param(change_of_endpoint(allowed=(IPv4Network(f"{CLIENT}/32"),)), id="a narrower whitelist"),
        pytest.param(change_of_endpoint(allowed=()), id="an empty whitelist"),
        pytest.param(change_of_endpoint(allowed=(IPv4Network("10.0.0.0/8"),)), id="a wider whitelist"),
        pytest.param(change_of_endpoint(draining_until=IN_AN_AGE), id="it begins to drain"),
        pytest.param(
            change_of_endpoint(draining_until=IN_AN_AGE, allowed=(IPv4Network(f"{CLIENT}/32"),)),
            id="it begins to drain with a narrower whitelist",
        ),
        pytest.param(change_of_drain(IN_AN_AGE - 1), id="a shorter drain"),
        pytest.param(change_of_drain(0), id="a drain that is called off"),
        pytest.param(change_of_endpoint(address=IPv4Address(OTHER_ENDPOINT)), id="another address"),
        pytest.param(
            change_of_endpoint(more_sources=MORE, allowed=(IPv4Network(f"{CLIENT}/32"),)),
            id="more source addresses and a narrower whitelist",
        ),
        pytest.param(
            change_of_endpoint(source_address=IPv4Address("198.19.129.1"), allowed=(IPv4Network(f"{CLIENT}/32"),)),
            id="another source address and whitelist",
        ),
        pytest.param(change_of_routes(None, POLICY), id="a new endpoint with routes"),
        pytest.param(change_of_routes(POLICY, None), id="a removed endpoint with routes"),
        pytest.param(change_of_routes(ALL, POLICY), id="a narrower policy"),
        pytest.param(change_of_routes((), ALL), id="routes come"),
        pytest.param(change_of_routes((Route(LOWER), Route(UPPER)), (Route(LOWER),)), id="a route goes"),
        pytest.param(
            change_of_routes(ALL, (Route(UPPER),), address=IPv4Address(OTHER_ENDPOINT)), id="another first address"
        ),
        pytest.param(change_of_sources((), MORE), id="more source addresses"),
        pytest.param(change_of_sources(MORE[:1], MORE), id="still more source addresses"),
        pytest.param(change_of_sources(MORE, MORE[:1]), id="fewer source addresses"),
        pytest.param(new_service, id="a new service"),
        pytest.param(removed_service, id="a removed service"),
        pytest.param(change_of_service(backends=backends(OTHER_BACKEND)), id="another backend"),
        pytest.param(change_of_service(ports=(PortMapping(81, 8081, Protocol.TCP),)), id="another port"),
        pytest.param(
            change_of_service(ports=(PortMapping(80, 8088, Protocol.TCP),), backends=backends(OTHER_BACKEND)),
            id="the port leads elsewhere",
        ),
        pytest.param(change_of_service(timeouts=Timeouts(tcp_established=60)), id="another limit of idle sessions"),
        pytest.param(change_of_service(limits=LIMITS), id="limits"),
        pytest.param(
            change_of_service(affinity=Affinity.SOURCE_ADDRESS, backends=(ONE, OTHER)), id="affinity and two backends"
        ),
        pytest.param(change_of_service(reset_expired=True), id="resets"),
        pytest.param(change_of_backends((ONE, OTHER), (replace(ONE, weight=9), OTHER)), id="another weight"),
        pytest.param(change_of_backends((ONE, OTHER), (ONE, replace(OTHER, draining=True))), id="one is drained"),
        pytest.param(change_of_backends((ONE, replace(OTHER, draining=True)), (ONE, OTHER)), id="one is undrained"),
        pytest.param(
            change_of_backends((ONE, OTHER), (replace(ONE, draining=True), replace(OTHER, draining=True))),
            id="all are drained",
        ),
        pytest.param(removed_backends, id="a removed service with several backends"),
        pytest.param(new_attachment, id="a new attachment"),
        pytest.param(removed_attachment, id="a removed attachment"),
    ],
)
async def test_a_change_that_is_interrupted_anywhere_is_safe_and_is_healed(scene: Scene, alter: Alter) -> None:
    await interrupt_anywhere(scene, alter)


@pytest.mark.parametrize("world", ["netns netns vxlan", "netns netns interface"], indirect=True)
@pytest.mark.parametrize("alter", [new_attachment, removed_attachment])
async def test_an_attachment_of_another_kind_may_be_interrupted_as_well(scene: Scene, alter: Alter) -> None:
    await interrupt_anywhere(scene, alter)


@pytest.mark.parametrize("world", ["netns netns vxlan"], indirect=True)
async def test_a_change_of_remote_hosts_may_be_interrupted(scene: Scene) -> None:
    await interrupt_anywhere(scene, fewer_remote_hosts)


async def interrupt_anywhere(scene: Scene, alter: Alter) -> None:
    """Kills the agent before each write of the change in turn."""
    before, after, change = alter(scene)
    for writes in range(1, MOST_WRITES):
        await scene.converge(before)
        old, new, lasting = [await scene.oracle(entries) for entries in (before, after, before)]
        openings = scene.probes()
        established = [await scene.outcome(each) for each in openings]
        for opening, was in zip(openings, established, strict=True):
            assert was in await scene.allowed(lasting, opening)
        killed = killed_before_write(writes, partial(scene.world.dataplane.apply, change))
        await scene.world.dataplane.close()  # no agent lives
        await lasting.apply(change)

        for probe in scene.probes():
            permitted = {None, *await scene.allowed(old, probe), *await scene.allowed(new, probe)}
            assert await scene.outcome(probe) in permitted, f"{probe} after {writes - 1} writes"
        for opening, was in zip(openings, established, strict=True):
            assert await scene.outcome(replace(opening, flags=ACK)) in {None, was}

        await scene.world.restart()
        assert read_contents(scene.world.maps).leftovers == []
        await scene.converge(after)
        for probe in scene.probes():
            assert await scene.outcome(probe) in await scene.allowed(new, probe)
        for opening, was in zip(openings, established, strict=True):
            packet = replace(opening, flags=ACK)
            lasts = await scene.one_allowed(lasting, packet) is not None
            assert await scene.outcome(packet) == (was if lasts else None), f"after {writes - 1} writes"
        if not killed:
            assert writes > 1
            return
    raise AssertionError("the change never ended")


async def test_what_is_removed_leaves_nothing_in_the_maps(scene: Scene) -> None:
    several = replace(scene.service, backends=(ONE, OTHER))
    routed = replace(scene.endpoint, routes=POLICY)
    await scene.converge([*with_other(scene, service=several, endpoint=routed), scene.spare.attachment])
    await scene.converge([])
    maps = scene.world.maps
    assert not any(any(value) for _, value in maps.devices.items())
    lists = maps.allowed, maps.rules, maps.rule_ports, maps.ports, maps.backends, maps.shares, maps.settings
    emptied = *lists, maps.endpoints, maps.routes, maps.more_sources, maps.source_owners, maps.attachments
    for each in emptied:
        assert list(each.items()) == [], each.name
    assert list(maps.service_names.items()) == []
    assert {value for _, value in maps.vpcs.items()} == {NO_DEVICE.pack()}
