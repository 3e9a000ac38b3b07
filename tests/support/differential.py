"""The program in the kernel and the model of it, side by side: both have one history, and must agree on every frame.

The table is put by `KernelDataplane.apply` into the real maps, devices are real, and backends are resolved by ARP on
them. Frames go through the real program by BPF_PROG_TEST_RUN, which sends nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

from services.common.clock import SECOND
from services.gateway_agent.dataplane.maps import NUMBER, Counter
from services.gateway_agent.table import Address, Attachment, Endpoint, Kind, Put, Remove, Service
from services.gateway_agent.traffic import Traffic
from tests.support.arp_hosts import ArpHosts
from tests.support.differential_frames import frame_of, pick
from tests.support.differential_maps import Entry, ProgramState
from tests.support.differential_steps import (
    ADDRESSES,
    HOSTS,
    MORE_SOURCES,
    SOURCES,
    VPCS,
    Drop,
    Fill,
    Idle,
    Lose,
    PutEndpoint,
    PutService,
    Restore,
    Send,
    Step,
    in_six,
    network_in_six,
    route_in_six,
)
from tests.support.models.forwarding import Forwarding
from tests.support.models.forwarding_limits import Moment, Undecided
from tests.support.models.forwarding_packets import UDP, Tuple
from tests.support.worlds import PATIENCE, KernelWorld, kernel_world

SESSIONS = 48
DROPPED, KEPT, SENT = 2, 0, 7  # TC_ACT_SHOT, TC_ACT_OK, TC_ACT_REDIRECT
FOR_EVER = 4_000_000_000 * SECOND
MARGIN_SECONDS = 5
BOTH_HOSTS: tuple[Address, ...] = (*HOSTS, *map(in_six, HOSTS))


def id_of(kind: Kind, number: int) -> str:
    return str(uuid5(NAMESPACE_OID, f"{kind} {number}"))


class Bench:
    """A gateway with three VPCs, and its model."""

    def __init__(self, world: KernelWorld, attachments: Sequence[Attachment], hosts: Sequence[ArpHosts]) -> None:
        self.attachments, self.hosts = attachments, hosts
        self.vpcs = [attachment.vpc for attachment in attachments]
        self.dataplane, self.program = world.dataplane, ProgramState(world)
        self.frames = 0
        self.met: set[Counter] = set()
        self._lost: set[int] = set()
        self._six: set[str] = set()  # services of IPv6
        self._passed_before, self._kept = (
            self.program.passed(),
            0,
        )  # frames in which neighbours told that are of no host
        devices = {self.program.number_of(vpc): self.program.device_of(vpc) for vpc in self.vpcs}
        self._ifindexes = {number: device.ifindex for number, device in devices.items()}
        self._macs = {device.ifindex: device.mac for device in devices.values()}

    async def reset(self) -> None:
        """Nothing is in the table but the attachments, no session is there, and the model knows it."""
        for key in self.program.keys(Kind.ENDPOINT, Kind.SERVICE):
            await self.dataplane.apply(Remove(key))
        self.program.clear_sessions()
        self.program.counted()
        self._six.clear()
        self.model = Forwarding(capacity=2 * SESSIONS)
        for number in range(len(VPCS)):
            await self._restore(number) if number in self._lost else self._know(number)

    async def play(self, history: Sequence[Step]) -> None:
        """Raises AssertionError where program and model part; stops where only the clock can tell what is right."""
        await self.reset()
        with suppress(Undecided):
            for step in history:
                await self._step(step)
            await self._compare_states()

    async def _compare_states(self) -> None:
        assert self.program.sessions() == dict(_listed(self.model))
        assert self.program.nobodys() == self.model.sessions.nobodys
        traffic = await self.dataplane.traffic()
        assert dict(traffic) == {endpoint: self._traffic(endpoint) for endpoint in self.model.endpoints}

    def _traffic(self, endpoint: str) -> Traffic:
        passed = self.model.passed[endpoint]
        return Traffic(
            sessions=len(self.model.sessions_of(endpoint)),
            sessions_made=passed.made,
            packets_in=passed.packets[0],
            bytes_in=passed.bytes[0],
            packets_out=passed.packets[1],
            bytes_out=passed.bytes[1],
            refused={reason.value.removeprefix("refused_"): count for reason, count in passed.refused.items()},
        )

    async def _step(self, step: Step) -> None:
        match step:
            case Send():
                self._send(step)
            case PutService():
                await self._put_service(step)
            case PutEndpoint():
                await self._put_endpoint(step)
            case Drop(kind, number):
                await self._drop(kind, number)
            case Lose(number):
                await self._lose(number)
            case Restore(number):
                await self._restore(number)
            case Fill(room):
                self._fill(room)
            case Idle(seconds):
                await self._idle(seconds)

    # ---- changes, made to both

    async def _put_service(self, put: PutService) -> None:
        """What leads to it goes first where it is of the other family now, or keeps the source no more."""
        service = self._service(put)
        known = self.model.services.get(service.id)
        if put.six != (service.id in self._six) or (known and known.keeps_source and not put.keeps):
            for each in self._users(service.id):
                await self._remove(each)
        self._six.add(service.id) if put.six else self._six.discard(service.id)
        await self._put(service)

    def _service(self, put: PutService) -> Service:
        backends = [replace(each, address=in_six(each.address)) for each in put.backends] if put.six else put.backends
        return Service(
            id=id_of(Kind.SERVICE, put.number),
            vpc=self.vpcs[put.vpc],
            ports=put.ports,
            backends=tuple(backends),
            timeouts=put.timeouts,
            affinity=put.affinity,
            limits=put.limits,
            keeps_source=put.keeps,
        )

    async def _put_endpoint(self, put: PutEndpoint) -> None:
        """Nothing where its service is not there, or another has the address or one of its routes."""
        service = pick(sorted(self.model.services), put.service)
        if service is None:
            return
        six = service in self._six
        routes = tuple(map(route_in_six, put.routes)) if six else put.routes
        address = in_six(ADDRESSES[put.address]) if six else ADDRESSES[put.address]
        endpoint = Endpoint(
            id=id_of(Kind.ENDPOINT, put.number),
            marker=put.number,
            vpc=self.vpcs[put.vpc],
            address=routes[0].prefix.network_address if routes else address,
            service=service,
            source_address=SOURCES[put.source],
            admission=put.admission,
            allowed=tuple(map(network_in_six, put.allowed)) if six else put.allowed,
            draining_until=(0, FOR_EVER, time.time_ns() - SECOND)[put.drain],
            more_sources=MORE_SOURCES[: put.more],
            routes=routes,
            proxy=self._proxy(put.proxy, six=six),
        )
        if not self.model.is_in_the_way(endpoint):
            await self._put(endpoint)

    def _proxy(self, number: int | None, *, six: bool) -> str:
        found = None if number is None else pick(sorted(self.model.services), number)
        return found if found and (found in self._six) == six else ""

    def _users(self, service: str) -> list[Endpoint]:
        return [each for each in self.model.endpoints.values() if service in (each.service, each.proxy)]

    async def _put(self, entry: Service | Endpoint) -> None:
        await self.dataplane.apply(Put(entry))
        self.model.put(entry)
        await self._settle()

    async def _drop(self, kind: Kind, number: int) -> None:
        there = self.model.services if kind is Kind.SERVICE else self.model.endpoints
        dropped = pick(sorted(there), number)
        if dropped is None:
            return
        entry = there[dropped]
        for each in (*self._users(dropped), entry):
            await self._remove(each)

    async def _remove(self, entry: Service | Endpoint) -> None:
        await self.dataplane.apply(Remove(entry.key))
        self.model.remove(entry.id)

    async def _lose(self, number: int) -> None:
        """When all that hosts have said has come in: afterwards it would be counted beside what is compared."""
        if number in self._lost:
            return
        async with asyncio.timeout(PATIENCE):
            while self.program.passed() < self._passed_before + self._kept + sum(each.sent for each in self.hosts):
                await asyncio.sleep(0)
        self._lost.add(number)
        self.hosts[number].silent = True
        self.program.lose(self.attachments[number])
        self.model.attach(self.vpcs[number], self.program.number_of(self.vpcs[number]), None)
        for address in BOTH_HOSTS:
            self.model.resolve(self.vpcs[number], address, None)

    async def _restore(self, number: int) -> None:
        if number not in self._lost:
            return
        self._lost.discard(number)
        await self.dataplane.apply(Put(self.attachments[number]))
        self.hosts[number].silent = False
        self._know(number)
        await self._settle()

    def _know(self, number: int) -> None:
        """Tells the model of a VPC that is attached."""
        vpc = self.vpcs[number]
        self.model.attach(vpc, self.program.number_of(vpc), self.program.device_of(vpc))
        for address, mac in self.hosts[number].macs.items():
            self.model.resolve(vpc, address, mac)

    async def _settle(self) -> None:
        """Until every service has turned to the backends that answer."""
        async with asyncio.timeout(PATIENCE):
            for service in self.model.services.values():
                takers = {
                    each.address: self.model.macs[service.vpc, each.address] for each in self.model.takers(service)
                }
                while self.program.takers(service) != takers:
                    await asyncio.sleep(0)

    def _fill(self, room: int) -> None:
        """With entries of nobody, that no packet finds."""
        for number in range(2 * SESSIONS):
            if self.model.sessions.count() + room >= self.model.capacity:
                return
            if not self.model.sessions.holds(_nobody(number)):
                self._reserve(_nobody(number))

    def _reserve(self, key: Tuple) -> None:
        self.program.reserve(key)
        self.model.sessions.nobodys.add(key)

    async def _idle(self, seconds: int) -> None:
        """Where the clock would decide it by less than a margin, nothing happens."""
        sessions, now = self.model.sessions.all(), _now()
        left = [self.model.expires_in(session, now) - seconds for session in sessions]
        if any(abs(each) < MARGIN_SECONDS for each in left):
            return
        self.program.age(seconds)
        for session in sessions:
            session.idle += seconds
        assert await self.dataplane.collect() == self.model.collect(now)

    # ---- frames

    def _send(self, send: Send) -> None:
        made = frame_of(send, self.model, self.vpcs)
        if made is None:
            return
        number, frame = made
        if send.twist.vpc is not None:
            number = self.model.numbers[self.vpcs[send.twist.vpc]]
        for _ in range(send.times):
            self._compare(frame, self._ifindexes[number])

    def _compare(self, frame: bytes, ifindex: int) -> None:
        wall, earliest = time.time_ns(), time.monotonic_ns()
        action, out = self.program.try_frame(frame, ifindex)
        now = Moment(wall, earliest, time.monotonic_ns())
        counted = self.program.counted()
        verdict = self.model.receive(frame, ifindex, now, self.program.chosen)
        self.frames += 1
        self.met.update(verdict.counts)
        kept = verdict.kept
        self._kept += kept
        expected = sorted(() if kept else verdict.counts)
        assert counted == expected, f"the program counts {counted}, the model {expected}: {frame.hex()}"
        assert action == (SENT if verdict.frame else KEPT if kept else DROPPED), f"{verdict}: {frame.hex()}"
        if verdict.frame:
            assert out.hex() == verdict.frame.hex()
            assert verdict.frame[6:12] == self._macs[verdict.device]


def _nobody(number: int) -> Tuple:
    """There is no VPC 0."""
    return Tuple(SOURCES[0], SOURCES[0], number, 0, 0, UDP)


def _now() -> Moment:
    return Moment(time.time_ns(), time.monotonic_ns(), time.monotonic_ns())


def _listed(model: Forwarding) -> Iterator[tuple[Tuple, Entry]]:
    """The sessions' entries as the program's map has them."""
    for _, side in model.sessions.entries.values():
        yield side.tuple, Entry(side.becomes, side.next_hop, side.confirmed, side.finished, side.reset)


def silence_answers(world: KernelWorld) -> None:
    """No endpoint has any allowance left: the model knows nothing of errors that the program makes."""
    for slot in range(256):
        world.dataplane._kernel._loaded.maps["answers"].put(NUMBER.pack(slot), (1 << 62).to_bytes(8, "little"))


@asynccontextmanager
async def bench(bpffs: Path) -> AsyncIterator[Bench]:
    """A gateway with VPCs on devices of two kinds, and hosts that answer."""
    async with kernel_world(bpffs, max_sessions=SESSIONS, kinds=("netns", "netns", "interface")) as world:
        vpcs = [await world.vpc(label) for label in VPCS]
        hosts = [ArpHosts(world.namespace(vpc), BOTH_HOSTS, number) for number, vpc in enumerate(vpcs)]
        try:
            silence_answers(world)
            yield Bench(world, [vpc.attachment for vpc in vpcs], hosts)
        finally:
            for each in hosts:
                each.close()
