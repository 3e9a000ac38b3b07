"""VPCs with hosts around a data plane: the same questions put to the fake's packets and to the kernel's.

shop = await world.vpc("shop", "10.0.0.10")
payments = await world.vpc("payments", "10.0.0.10")
await world.serve(payments, "10.0.0.10", 8080, name="web")
conversation = await world.connect(shop, "10.0.0.10", "10.0.0.100", 80)
"""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import count, cycle
from pathlib import Path
from typing import Protocol as Interface
from uuid import uuid4

from services.common.addressing import address_of
from services.gateway_agent.dataplane.build import build
from services.gateway_agent.dataplane.fake import FakeDataplane
from services.gateway_agent.dataplane.fake_kernel import FakeKernel, Flow, Packet, TcpFlags
from services.gateway_agent.dataplane.kernel import KernelDataplane
from services.gateway_agent.dataplane.maps import Counter, Maps, pack_id
from services.gateway_agent.dataplane.naming import Naming
from services.gateway_agent.dataplane.port import Dataplane
from services.gateway_agent.dataplane.records import AttachmentRecord
from services.gateway_agent.table import (
    Address,
    Attachment,
    Endpoint,
    Entry,
    PortMapping,
    Protocol,
    Put,
    Remove,
    Service,
    Timeouts,
    everybody,
)
from services.gateway_agent.targets import Netns
from tests.support import namespaces, tables
from tests.support.hosts import TcpClient, TcpEcho, UdpClient, UdpEcho
from tests.support.namespaces import DEVICE, HostDevice, Namespace
from tests.support.sites import SITES, Site
from tests.support.wire import Wire

PATIENCE = 10.0  # seconds, for what should come
REFUSAL_SECONDS = 0.3  # for what should not: a packet that passes takes well below a millisecond
SESSIONS, ENDPOINTS = 4096, 4096
ENDPOINT = "10.0.0.100"
SOURCE = "198.19.128.7"  # of an endpoint's connections, as the backend sees them
WEB = PortMapping(80, 8080, Protocol.TCP)
DNS = PortMapping(53, 5353, Protocol.UDP)


class Conversation(Interface):
    """A connection of TCP, or a pair of addresses that talk UDP."""

    @property
    def backend(self) -> str: ...
    @property
    def seen_as(self) -> Address | None: ...
    async def echoes(self) -> bool:
        """Whether something sent now comes back."""

    async def is_cut(self) -> bool:
        """Whether it does not."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Vpc:
    """A VPC that is attached."""

    attachment: Attachment

    @property
    def id(self) -> str:
        return self.attachment.vpc


class World(ABC):
    """What a contract test needs of a data plane's surroundings."""

    dataplane: Dataplane
    timeouts: Timeouts

    async def vpc(self, label: str, *addresses: str) -> Vpc:
        """A new VPC with hosts at these addresses, attached."""
        vpc = self.unattached(label)
        await self.dataplane.apply(Put(vpc.attachment))
        self.add_hosts(vpc, *addresses)
        return vpc

    async def put(self, *entries: Entry) -> None:
        for entry in entries:
            await self.dataplane.apply(Put(entry))

    async def remove(self, *entries: Entry) -> None:
        for entry in entries:
            await self.dataplane.apply(Remove(entry.key))

    async def publish(self, vpc: Vpc, *backends: str, ports: tuple[PortMapping, ...] = (WEB,)) -> Service:
        """A new service that is put, and whose backends answer."""
        service = Service(str(uuid4()), vpc.id, ports, tables.backends(*backends), self.timeouts)
        await self.put(service)
        async with asyncio.timeout(PATIENCE):
            while service.key in self.dataplane.difficulties():
                await self.dataplane.wait_for_news()
        return service

    async def lead(self, vpc: Vpc, service: Service, address: str = ENDPOINT, source: str = SOURCE) -> Endpoint:
        """A new endpoint that leads from the VPC to the service, put."""
        own = address_of(address)
        endpoint = Endpoint(
            id=str(uuid4()),
            marker=7,
            vpc=vpc.id,
            address=own,
            service=service.id,
            source_address=IPv4Address(source),
            admission=1,
            allowed=everybody(own.version),
        )
        await self.put(endpoint)
        return endpoint

    @abstractmethod
    def unattached(self, label: str) -> Vpc: ...
    @abstractmethod
    def add_hosts(self, vpc: Vpc, *addresses: str) -> None: ...
    @abstractmethod
    def remove_host(self, vpc: Vpc, address: str) -> None: ...
    @abstractmethod
    def lead_out(self, vpc: Vpc) -> None:
        """Its hosts send to all other addresses by the gateway, as an annex's do."""

    @abstractmethod
    def lose(self, vpc: Vpc) -> None:
        """What its attachment reaches goes away, with its hosts."""

    @abstractmethod
    def restore(self, vpc: Vpc) -> None:
        """It is there again, without hosts."""

    @abstractmethod
    async def serve(
        self, vpc: Vpc, address: str, port: int, name: str = "web", protocol: Protocol = Protocol.TCP
    ) -> None: ...
    @abstractmethod
    async def connect(
        self,
        vpc: Vpc,
        source: str,
        target: str,
        port: int,
        protocol: Protocol = Protocol.TCP,
        *,
        source_port: int = 0,
        patience: float = PATIENCE,
    ) -> Conversation | None:
        """None if nothing answers for `patience` seconds."""

    async def reaches(
        self, vpc: Vpc, source: str, target: str, port: int, protocol: Protocol = Protocol.TCP
    ) -> Conversation:
        conversation = await self.connect(vpc, source, target, port, protocol)
        counts = {name: count for name, count in (await self.dataplane.counters()).items() if count}
        hindered = self.dataplane.difficulties()
        assert conversation is not None, f"{source} does not reach {target}:{port}/{protocol}: {counts} {hindered}"
        return conversation

    async def refuses(self, vpc: Vpc, source: str, target: str, port: int, protocol: Protocol = Protocol.TCP) -> bool:
        return await self.connect(vpc, source, target, port, protocol, patience=REFUSAL_SECONDS) is None

    @abstractmethod
    async def restart(self) -> None:
        """Closes the data plane and opens another, as a new process of the agent does."""


class FakeConversation:
    """Exchanges packets with a host of FakeWorld, a handshake first if it is TCP."""

    def __init__(self, world: "FakeWorld", flow: Flow) -> None:
        self._world = world
        self._flow = flow
        self._tcp = flow.protocol is Protocol.TCP
        self.backend = ""
        self.seen_as: Address | None = None

    async def open(self) -> bool:
        if not self._tcp:
            return await self.echoes()
        return await self._exchange(TcpFlags.SYN, TcpFlags.SYN | TcpFlags.ACK) and await self.echoes()

    async def echoes(self) -> bool:
        flags = TcpFlags.ACK if self._tcp else TcpFlags.NONE
        return await self._exchange(flags, flags)

    async def is_cut(self) -> bool:
        return not await self.echoes()

    async def close(self) -> None:
        if self._tcp:
            await self._exchange(TcpFlags.FIN | TcpFlags.ACK, TcpFlags.FIN | TcpFlags.ACK)

    async def _exchange(self, flags: TcpFlags, answer_flags: TcpFlags) -> bool:
        arrived = await self._world.dataplane.send(Packet(self._flow, flags))
        name = self._world.server_of(arrived.flow) if arrived else None
        if arrived is None or name is None:
            return False
        self.backend, self.seen_as = name, arrived.flow.source
        answer = await self._world.dataplane.send(arrived.answer(answer_flags))
        return answer is not None and answer.flow == self._flow.turned_round()


class FakeWorld(World):
    dataplane: FakeDataplane

    def __init__(self, timeouts: Timeouts | None = None) -> None:
        self.timeouts = timeouts or Timeouts()
        self.dataplane = FakeDataplane(FakeKernel())
        self._servers: dict[tuple[str, Protocol, Address, int], str] = {}
        self._ports = count(40000)

    def unattached(self, label: str) -> Vpc:
        return Vpc(Attachment(str(uuid4()), Netns(f"{label}-{secrets.token_hex(2)}", DEVICE)))

    def add_hosts(self, vpc: Vpc, *addresses: str) -> None:
        for address in addresses:
            self.dataplane.answer(vpc.id, address_of(address))

    def remove_host(self, vpc: Vpc, address: str) -> None:
        self.dataplane.silence(vpc.id, address_of(address))

    def lead_out(self, vpc: Vpc) -> None:
        pass

    def lose(self, vpc: Vpc) -> None:
        self.dataplane.lose(vpc.attachment.target)

    def restore(self, vpc: Vpc) -> None:
        self.dataplane.restore(vpc.attachment.target)

    async def serve(
        self, vpc: Vpc, address: str, port: int, name: str = "web", protocol: Protocol = Protocol.TCP
    ) -> None:
        self._servers[vpc.id, protocol, address_of(address), port] = name
        self.dataplane.kernel.open_ports.add((vpc.id, address_of(address), port))

    async def connect(
        self,
        vpc: Vpc,
        source: str,
        target: str,
        port: int,
        protocol: Protocol = Protocol.TCP,
        *,
        source_port: int = 0,
        patience: float = PATIENCE,
    ) -> Conversation | None:
        source_port = source_port or next(self._ports)
        flow = Flow(vpc.id, protocol, address_of(source), source_port, address_of(target), port)
        conversation = FakeConversation(self, flow)
        return conversation if await conversation.open() else None

    async def restart(self) -> None:
        await self.dataplane.close()
        self.dataplane = FakeDataplane(self.dataplane.kernel)
        await self.dataplane.open()

    def server_of(self, flow: Flow) -> str | None:
        return self._servers.get((flow.vpc, flow.protocol, flow.destination, flow.destination_port))


@dataclass(slots=True)
class KernelConversation:
    """Of real sockets."""

    client: TcpClient | UdpClient

    @property
    def backend(self) -> str:
        return self.client.backend

    @property
    def seen_as(self) -> Address | None:
        return self.client.seen_as

    async def echoes(self) -> bool:
        return await self.client.echoes(secrets.token_bytes(16), PATIENCE)

    async def is_cut(self) -> bool:
        return not await self.client.echoes(secrets.token_bytes(16), REFUSAL_SECONDS)

    async def close(self) -> None:
        await self.client.close()


class KernelWorld(World):
    """Network namespaces as VPCs, and a gateway of its own name on this machine."""

    dataplane: KernelDataplane

    def __init__(self, bpffs: Path, timeouts: Timeouts | None = None, max_sessions: int = SESSIONS) -> None:
        self._max_sessions = max_sessions
        self.gateway_id = f"{namespaces.PREFIX}-{secrets.token_hex(2)}"
        self.bpffs = bpffs
        self.timeouts = timeouts or Timeouts()
        self.ipv6 = False
        self.attach_by("netns")
        self._sites: dict[str, Site] = {}
        self._servers: dict[tuple[str, str, int, Protocol], TcpEcho | UdpEcho] = {}
        self._wires: list[Wire] = []
        self._conversations: list[Conversation] = []
        self.dataplane = self.new_dataplane()

    def new_dataplane(self) -> KernelDataplane:
        return KernelDataplane(self.gateway_id, self.bpffs, self._max_sessions, ENDPOINTS)

    @property
    def maps(self) -> Maps:
        """What the program sees, for tests of the program itself."""
        return self.dataplane._kernel.maps

    def site(self, vpc: Vpc) -> Site:
        return self._sites[vpc.id]

    def namespace(self, vpc: Vpc, address: str = "") -> Namespace:
        """The one that the host with this address is in, or the first."""
        return self.site(vpc).home(address) if address else self.site(vpc).spaces[0]

    def unattached(self, label: str) -> Vpc:
        vpc = str(uuid4())
        site = self._sites[vpc] = SITES[next(self._kinds)].named(label)
        site.build()
        if self.ipv6:
            site.allow_ipv6()
        return Vpc(Attachment(vpc, site.target))

    def device(self, vpc: Vpc) -> HostDevice:
        """The gateway's end."""
        devices, site = namespaces.host_devices(), self.site(vpc)
        (found,) = [device for device in devices if device.alias.endswith(vpc.id) or site.has(device)]
        return found

    def device_number(self, vpc: Vpc) -> int:
        """The VPC's local number."""
        return AttachmentRecord.unpack(self.maps.attachments.get(pack_id(vpc.id)) or b"").vpc

    def attach_by(self, *kinds: str) -> None:
        """How VPCs are attached from now on, in turns."""
        self._kinds = cycle(kinds)

    def attach_device_only(self, attachment: Attachment) -> None:
        """As an agent does that is killed before it writes the record. Blocks."""
        kernel = self.dataplane._kernel
        self.dataplane._devices.attach(attachment, kernel.attachments._program_fd)

    def shut(self, vpc: Vpc) -> None:
        """As another program of the machine might do."""
        namespaces.shut_host_device(self.device(vpc).name)

    def pins(self) -> list[Path]:
        return list(self.bpffs.glob(f"sidegate/{self.gateway_id}/*/*"))

    def wire(self, vpc: Vpc, address: str = "") -> Wire:
        wire = Wire(self.namespace(vpc, address), self.device(vpc).mac)
        self._wires.append(wire)
        return wire

    async def counts_more(self, counter: Counter, than: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while (await self.dataplane.counters())[counter] <= than:
                await asyncio.sleep(0)

    async def counts_one(self, counter: Counter, sending: Awaitable[None]) -> None:
        """Waits until what is sent is counted, once."""
        before = (await self.dataplane.counters())[counter]
        await sending
        await self.counts_more(counter, before)
        assert (await self.dataplane.counters())[counter] == before + 1

    def add_hosts(self, vpc: Vpc, *addresses: str) -> None:
        for address in addresses:
            self.site(vpc).add_address(address)

    def remove_host(self, vpc: Vpc, address: str) -> None:
        self.site(vpc).remove_address(address)

    def lead_out(self, vpc: Vpc) -> None:
        for space in self.site(vpc).spaces:
            for family, router in (("-4", "192.0.2.1"), ("-6", "fe80::1")) if self.ipv6 else (("-4", "192.0.2.1"),):
                mac = self.device(vpc).mac.hex(":")
                space.ip(family, "neighbour", "replace", router, "lladdr", mac, "dev", DEVICE, "nud", "permanent")
                space.ip(family, "route", "replace", "default", "via", router, "dev", DEVICE, "onlink")

    def lose(self, vpc: Vpc) -> None:
        self.site(vpc).lose()

    def restore(self, vpc: Vpc) -> None:
        self.site(vpc).restore()

    async def serve(
        self, vpc: Vpc, address: str, port: int, name: str = "web", protocol: Protocol = Protocol.TCP
    ) -> None:
        server, place = TcpEcho if protocol is Protocol.TCP else UdpEcho, (vpc.id, address, port, protocol)
        if place in self._servers:
            await self._servers.pop(place).stop()
        self._servers[place] = await server.start(name, self.namespace(vpc, address), address, port)

    async def connect(
        self,
        vpc: Vpc,
        source: str,
        target: str,
        port: int,
        protocol: Protocol = Protocol.TCP,
        *,
        source_port: int = 0,
        patience: float = PATIENCE,
    ) -> Conversation | None:
        client = TcpClient if protocol is Protocol.TCP else UdpClient
        found = await client.connect(
            self.namespace(vpc, source), target, port, source=source, source_port=source_port, patience=patience
        )
        if found is None:
            return None
        self._conversations.append(KernelConversation(found))
        return self._conversations[-1]

    async def restart(self) -> None:
        await self.dataplane.close()
        self.dataplane = self.new_dataplane()
        await self.dataplane.open()

    async def tear_down(self) -> None:
        """Takes away everything, as far as it got: the last step first, and each whatever becomes of the others."""
        async with AsyncExitStack() as steps:
            for site in self._sites.values():
                steps.callback(site.delete)
            steps.push_async_callback(self.dataplane.remove_devices)
            steps.push_async_callback(self.dataplane.uninstall)
            for wire in self._wires:
                steps.callback(wire.close)
            for server in self._servers.values():
                steps.push_async_callback(server.stop)
            for conversation in self._conversations:
                steps.push_async_callback(conversation.close)

    def left_behind(self) -> list[str]:
        """What of this world is still on the machine."""
        found = [space.name for site in self._sites.values() for space in site.spaces if space.exists()]
        found += [device.name for device in namespaces.host_devices() if self.gateway_id in device.alias]
        found += [path.name for path in namespaces.RUN.iterdir() if Naming(self.gateway_id).owns_annex(path.name)]
        found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.bpffs) in line]
        return found


@asynccontextmanager
async def fake_world(timeouts: Timeouts | None = None) -> AsyncIterator[FakeWorld]:
    world = FakeWorld(timeouts)
    await world.dataplane.open()
    yield world


@asynccontextmanager
async def kernel_world(
    bpffs: Path, timeouts: Timeouts | None = None, max_sessions: int = SESSIONS, kinds: Iterable[str] = ("netns",)
) -> AsyncIterator[KernelWorld]:
    """With the program built, and a BPF filesystem mounted at `bpffs` for as long as the world lasts.

    VPCs are attached as `kinds` say, in turns.
    """
    namespaces.require_root()
    build()
    world = KernelWorld(bpffs, timeouts, max_sessions)
    world.attach_by(*kinds)
    try:
        await world.dataplane.open()
        yield world
    finally:
        await world.tear_down()
        assert world.left_behind() == []
