"""A gateway under traffic while its endpoints come and go and its agent is killed, and what must be left of it."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb
from sidegate.api.gateway.v1.gateway_service_pb2 import EndpointReport
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb
from sidegate.api.registry.v1 import vpc_pb2 as vpc_pb
from tests.support import namespaces
from tests.support.chaos.run import Course, told
from tests.support.control_plane import ABSENT, CELL, FORWARDING, ControlPlane, Told, control_plane
from tests.support.gateway_program import GatewayProgram
from tests.support.namespaces import DEVICE, Namespace
from tests.support.nats import connected, relaying, running, serving
from tests.support.soak_traffic import (
    TCP_PORT,
    TCP_SERVER_PORT,
    UDP_PORT,
    UDP_SERVER_PORT,
    Clients,
    Place,
    UdpEchoes,
    echo,
    listener,
)

BACKENDS = ("10.0.0.20", "10.0.0.21", "10.0.0.22")
CLIENT = "10.0.0.10"
ENDPOINTS, SERVICES = 8, 2
TCP_TALKERS, UDP_TALKERS = 4, 2
COLLECTED_SECONDS = 30.0  # the agent collects every five
WARM_UP_SHARE = 0.4  # of the last agent's life, before its memory is looked at
PORTS = (
    service_pb.PortMapping(client_port=TCP_PORT, server_port=TCP_SERVER_PORT),
    service_pb.PortMapping(
        client_port=UDP_PORT, server_port=UDP_SERVER_PORT, protocol=service_pb.PortMapping.PROTOCOL_UDP
    ),
)
SETTINGS = service_pb.SessionSettings(
    tcp_established_seconds=60,
    tcp_half_open_seconds=10,
    tcp_closed_seconds=1,
    udp_two_way_seconds=10,
    udp_one_way_seconds=10,
)
WHITELISTS = (("10.0.0.0/24",), ("10.0.0.8/30", "192.0.2.0/24"), ())


@dataclass(slots=True)
class Kept:
    """An endpoint as the control plane tells of it."""

    number: int
    service: int
    place: Place
    id: str = field(default_factory=lambda: str(uuid4()))
    generation: int = 0
    admission: int = 1
    allowed: tuple[str, ...] = ()


class Soak:
    """A control plane, a gateway as a program of its own, two VPCs, and who talks in them."""

    def __init__(
        self, control: ControlPlane, gateway: GatewayProgram, vpcs: tuple[Namespace, Namespace], chance: random.Random
    ) -> None:
        self.control, self.gateway, self.chance = control, gateway, chance
        self._shop, self._payments = vpcs
        self._ids = {vpc: str(uuid4()) for vpc in vpcs}
        self._services = [str(uuid4()) for _ in range(SERVICES)]
        self._draining: dict[int, str] = {}  # the backend of a service that takes no new sessions
        self._version = 0
        self.kept = [
            Kept(
                number, number % SERVICES, Place(f"10.0.0.{100 + number}", f"198.19.128.{number}", frozenset(BACKENDS))
            )
            for number in range(ENDPOINTS)
        ]
        self.clients = Clients(self._shop, [each.place for each in self.kept], chance)
        self.changes = self.kills = self.grown = 0

    def __str__(self) -> str:
        clients = self.clients
        return (
            f"{clients.connections} connections with {clients.bytes / 1e6:.1f} MB, {clients.datagrams} datagrams, "
            f"{clients.cuts} cuts, {self.changes} changes, {self.kills} kills, {self.grown / 1e6:+.1f} MB of memory"
        )

    # ---- the course of it

    async def furnish(self, stack: AsyncExitStack) -> None:
        """Attaches the VPCs, starts the backends, and puts every endpoint."""
        await self.control.tell(*(self._attachment(vpc) for vpc in self._ids))
        async with asyncio.timeout(COLLECTED_SECONDS):
            while not all(DEVICE in vpc.devices() for vpc in self._ids):
                await asyncio.sleep(0.02)
        self._shop.add_address(f"{CLIENT}/24")
        for address in BACKENDS:
            self._payments.add_address(f"{address}/24")
            sock = listener(self._payments, address)
            stack.push_async_callback(_ended, await asyncio.start_server(partial(_served, address), sock=sock))
            ear = self._payments.udp_socket(address, UDP_SERVER_PORT)
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(partial(UdpEchoes, address), sock=ear)
            stack.callback(transport.close)
        await self.control.tell(*(self._service(number) for number in range(SERVICES)))
        await asyncio.gather(*(self._put(each) for each in self.kept))

    async def run(self, seconds: float) -> None:
        """Traffic and changes: agents are killed for half of the time, and the memory of the last is looked at."""
        over, course = asyncio.Event(), Course(seconds, self.__str__)
        async with told(course), asyncio.TaskGroup() as tasks:
            for _ in range(TCP_TALKERS):
                tasks.create_task(self.clients.talk(self.clients.over_tcp))
            for _ in range(UDP_TALKERS):
                tasks.create_task(self.clients.talk(self.clients.over_udp))
            tasks.create_task(self._change_until(over))
            ends = time.monotonic() + seconds / 2
            while time.monotonic() < ends:
                await self._kill_after(self.chance.uniform(0.1, 2.0))
                course.done["kill"] += 1
            await asyncio.sleep(seconds / 2 * WARM_UP_SHARE)
            before = self.gateway.memory
            await asyncio.sleep(seconds / 2 * (1 - WARM_UP_SHARE))
            self.grown = self.gateway.memory - before
            over.set()
            self.clients.stopped.set()

    async def nothing_is_left_over(self) -> None:
        """The maps hold what the table needs and no more; at last nothing."""
        await self._holds(self.kept)
        assert self.gateway.counted_sessions() == 0
        for each in self.kept:
            if each.place.stands:
                await self._remove(each)
        await self._holds([])
        await self.control.tell(*(self._service(number, removed=True) for number in range(SERVICES)))
        await self.control.tell(*(self._attachment(vpc, removed=True) for vpc in self._ids))
        await self._has(dict.fromkeys(self.gateway.entries(), 0))

    # ---- changes

    async def _change_until(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self._change(self.chance.choice(self.kept))
            self.changes += 1

    async def _change(self, kept: Kept) -> None:
        if not kept.place.stands:
            await self._put(kept)
            return
        match self.chance.randrange(6):
            case 0 | 1:
                await self._remove(kept)
            case 2:
                kept.place.fall()
                kept.admission += 1
                await self._put(kept)
            case 3 | 4:
                kept.allowed = self.chance.choice(WHITELISTS)
                await self._tell(kept, FORWARDING)
            case _:
                self._draining[kept.service] = self.chance.choice(("", *BACKENDS))
                await self.control.tell(self._service(kept.service))

    async def _put(self, kept: Kept) -> None:
        await self._tell(kept, FORWARDING)
        kept.place.rise()

    async def _remove(self, kept: Kept) -> None:
        kept.place.fall()
        await self._tell(kept, ABSENT)

    async def _tell(self, kept: Kept, until: EndpointReport.Presence.ValueType) -> None:
        kept.generation += 1
        await self.control.tell(self._endpoint(kept, removed=until == ABSENT))
        await self.control.reported(kept.id, until, kept.generation)

    async def _kill_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.gateway.kill()
        self.kills += 1
        await self.gateway.start()

    # ---- what is in the maps

    async def _holds(self, kept: list[Kept]) -> None:
        """No session, for traffic has ended and the limits of idle ones are short."""
        standing = [each for each in kept if each.place.stands]
        takers = [len(BACKENDS) - bool(self._draining.get(number)) for number in range(SERVICES)]
        needed = {
            "attachments": len(self._ids),
            "service_names": SERVICES,
            "settings": SERVICES,
            "ports": SERVICES * len(PORTS),
            "backends": SERVICES * len(BACKENDS),
            "shares": sum(number > 1 for number in takers),
            "endpoints": len(standing),
            "source_owners": len(standing),
            "more_sources": 0,
            "sessions": 0,
            "allowed": sum(len(each.allowed) or 1 for each in standing),
        }
        await self._has(needed)

    async def _has(self, wanted: dict[str, int]) -> None:
        found: dict[str, int] = {}
        try:
            async with asyncio.timeout(COLLECTED_SECONDS):
                while wanted.items() - (found := self.gateway.entries()).items():
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"the maps hold {found}, and are to hold {wanted}") from None

    # ---- what the control plane tells

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    def _attachment(self, vpc: Namespace, *, removed: bool = False) -> Told:
        netns = None if removed else vpc_pb.NetnsTarget(namespace=vpc.name)
        version = self._next_version()
        told = forwarding_pb.AttachmentForwarding(vpc_id=self._ids[vpc], version=version, removed=removed, netns=netns)
        return Told(attachment=told)

    def _service(self, number: int, *, removed: bool = False) -> Told:
        draining = self._draining.get(number)
        return Told(
            service=forwarding_pb.ServiceForwarding(
                service_id=self._services[number],
                version=self._next_version(),
                removed=removed,
                vpc_id=self._ids[self._payments],
                port_mappings=PORTS,
                session_settings=SETTINGS,
                weighted_backends=[
                    forwarding_pb.BackendForwarding(address=each, weight=1, draining=each == draining)
                    for each in BACKENDS
                ],
            )
        )

    def _endpoint(self, kept: Kept, *, removed: bool) -> Told:
        lease = forwarding_pb.SourceLease(gateway_id=self.gateway.gateway_id, address=kept.place.source)
        return Told(
            endpoint=forwarding_pb.EndpointForwarding(
                endpoint_id=kept.id,
                generation=kept.generation,
                removed=removed,
                marker_id=kept.number + 1,
                vpc_id=self._ids[self._shop],
                address=kept.place.address,
                service_id=self._services[kept.service],
                allowed_cidrs=kept.allowed,
                admission=kept.admission,
                sources=[lease],
            )
        )


async def _served(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await echo(reader, writer, name)


async def _ended(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def soak(directory: Path, chance: random.Random) -> AsyncIterator[Soak]:
    """With its gateway running and every endpoint put; nothing of it is left on the machine."""
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(control_plane())
        nats = await stack.enter_async_context(running(directory / "nats"))
        connection = await stack.enter_async_context(connected(nats, "relay"))
        await stack.enter_async_context(relaying(control.log, connection))
        shop, payments = stack.enter_context(namespaces.make("shop", "payments"))
        gateway = GatewayProgram(directory, control.address, nats.server.url)
        await stack.enter_async_context(serving(connection, CELL, gateway.gateway_id))
        stack.push_async_callback(gateway.uninstall)
        await gateway.start()
        made = Soak(control, gateway, (shop, payments), chance)
        await made.furnish(stack)
        yield made
