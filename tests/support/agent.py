"""A whole gateway agent over the fake data plane, and the small world that its tests play in."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from services.common.clock import Clock as WallClock
from services.common.clock import now
from services.common.messaging.connection import Connection
from services.gateway_agent.agent import Agent, AgentSettings, FlowSettings
from services.gateway_agent.dataplane.fake import FakeDataplane
from services.gateway_agent.dataplane.fake_kernel import FakeKernel, Flow, Packet, TcpFlags
from services.gateway_agent.dataplane.port import DataplaneError
from services.gateway_agent.fence import Clock, boottime
from services.gateway_agent.pace import Pace
from services.gateway_agent.proxies import Proxies
from services.gateway_agent.resolving.resolvers import OpenSockets, nowhere
from services.gateway_agent.table import Change, ForwardingTable, Protocol
from services.gateway_agent.targets import Netns
from services.gateway_agent.wire_targets import DEFAULT_DEVICE
from sidegate.access import Untold
from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb
from sidegate.api.gateway.v1 import gateway_service_pb2 as gateway_pb
from sidegate.api.gateway.v1 import gateway_service_pb2_grpc as gateway_grpc
from sidegate.api.gateway.v1 import traffic_pb2 as traffic_pb
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb
from sidegate.api.registry.v1 import vpc_pb2 as vpc_pb
from sidegate.resources.gateways import Gateway
from sidegate.transport import Caller
from tests.support import identity
from tests.support.control_plane import CELL, ControlPlane, Told
from tests.support.nats import DEADLINE

GATEWAY = "gw-1"
NO_FLOWS = FlowSettings()
QUICK = Pace(
    poll=0.02,
    audit=3600.0,
    compare=3600.0,
    collect=0.05,
    look=0.02,
    tell=0.02,
    retry=(0.02, 0.1),
    reconnect=(0.01, 0.05),
)
"""Nothing is compared or audited unless a test is about that."""


def id_of(name: str) -> str:
    return str(uuid5(NAMESPACE_OID, name))


ZONE = "region-1.sidegate.internal"
SHOP, PAYMENTS, WEB = id_of("shop"), id_of("payments"), id_of("web")
CLIENT, BACKEND = IPv4Address("10.0.0.10"), IPv4Address("10.0.0.10")


def netns(namespace: str) -> Netns:
    return Netns(namespace, DEFAULT_DEVICE)


def attachment(vpc: str, namespace: str, version: int = 1, *, removed: bool = False) -> Told:
    netns = None if removed else vpc_pb.NetnsTarget(namespace=namespace)
    told = forwarding_pb.AttachmentForwarding(vpc_id=vpc, version=version, removed=removed, netns=netns)
    return Told(attachment=told)


def service(version: int = 1, *backends: str, removed: bool = False) -> Told:
    mapping = service_pb.PortMapping(client_port=80, server_port=8080)
    return Told(
        service=forwarding_pb.ServiceForwarding(
            service_id=WEB,
            version=version,
            removed=removed,
            vpc_id=PAYMENTS,
            backends=backends or [str(BACKEND)],
            port_mappings=[mapping],
        )
    )


def endpoint(
    name: str = "1",
    generation: int = 1,
    *,
    admission: int = 1,
    removed: bool = False,
    lease: bool = True,
    draining_until: int = 0,
    sources: int = 1,
    names: Iterable[str] = (),
) -> Told:
    """Endpoint `name`, a number, has the address 10.0.0.100 plus that number, and source addresses 256 apart."""
    first = IPv4Address("198.19.128.0") + int(name)
    leases = [
        forwarding_pb.SourceLease(gateway_id=GATEWAY, address=str(first + 256 * number)) for number in range(sources)
    ]
    return Told(
        endpoint=forwarding_pb.EndpointForwarding(
            endpoint_id=id_of(name),
            generation=generation,
            removed=removed or draining_until > 0,
            draining_until=draining_until,
            marker_id=int(name),
            vpc_id=SHOP,
            address=str(address(name)),
            service_id=WEB,
            admission=admission,
            sources=leases if lease else [],
            dns_names=names,
        )
    )


def resolver(version: int = 1, *forwarders: str, removed: bool = False) -> Told:
    """Of the VPC that endpoints are in."""
    told = forwarding_pb.ResolverForwarding(
        vpc_id=SHOP, version=version, removed=removed, address="10.0.0.53", forwarders=forwarders, zone=ZONE
    )
    return Told(resolver=told)


def address(name: str = "1") -> IPv4Address:
    return IPv4Address("10.0.0.100") + int(name)


BASE = (attachment(SHOP, "shop"), attachment(PAYMENTS, "payments"), service())
"""What every endpoint here needs."""


class Recorded(FakeDataplane):
    """Remembers what an agent made it do; refuses changes of the ids in `refused`."""

    def __init__(self, kernel: FakeKernel) -> None:
        super().__init__(kernel)
        self.changes: list[Change] = []
        self.reads = 0
        self.refused: set[str] = set()

    async def read(self) -> ForwardingTable:
        self.reads += 1
        return await super().read()

    async def apply(self, change: Change) -> None:
        if change.key.id in self.refused:
            raise DataplaneError("the map is full")
        await super().apply(change)
        self.changes.append(change)

    def table(self) -> ForwardingTable:
        return self.kernel.entries.table()

    async def forwards(self, name: str = "1", port: int = 40000, flags: TcpFlags = TcpFlags.SYN) -> bool:
        """Whether a packet of the client comes out at the backend."""
        flow = Flow(SHOP, Protocol.TCP, CLIENT, port, address(name), 80)
        out = await self.send(Packet(flow, flags))
        return out is not None and (out.flow.vpc, out.flow.destination) == (PAYMENTS, BACKEND)


@dataclass
class Harness:
    """One run of an agent."""

    agent: Agent
    dataplane: Recorded
    socket: Path
    task: "asyncio.Task[None]"

    @asynccontextmanager
    async def tap(self) -> AsyncIterator[Gateway]:
        """The product's own client of what is shown on this machine."""
        await self.agent.serving.wait()
        caller = Caller(f"unix:{self.socket}", Untold())
        try:
            yield Gateway(caller)
        finally:
            await caller.close()

    @asynccontextmanager
    async def table_service(self) -> AsyncIterator["TableService"]:
        await self.agent.serving.wait()
        caller = Caller(f"unix:{self.socket}", Untold())
        try:
            yield TableService(caller)
        finally:
            await caller.close()


class TableService:
    """What the agent shows, as somebody on its machine asks for it."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = gateway_grpc.TableServiceStub(caller.channel)

    async def table(
        self, source: gateway_pb.GetTableRequest.Source.ValueType, position: int = 0, at: int | None = None
    ) -> gateway_pb.GetTableResponse:
        """`at` is in nanoseconds since the epoch."""
        request = gateway_pb.GetTableRequest(source=source, position=position)
        if at is not None:
            request.time.FromNanoseconds(at)
        return await self._caller.ask(self._stub.GetTable, request)

    async def traffic(self, **asked: Any) -> traffic_pb.GetTrafficResponse:
        return await self._caller.ask(self._stub.GetTraffic, traffic_pb.GetTrafficRequest(**asked))

    async def status(self) -> gateway_pb.GetStatusResponse:
        return await self._caller.ask(self._stub.GetStatus, gateway_pb.GetStatusRequest())


async def never() -> Connection:
    """A NATS server that is not there."""
    absent: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
    return await absent


@asynccontextmanager
async def agent(
    control: ControlPlane,
    kernel: FakeKernel,
    directory: Path,
    *,
    nats: str = "",
    pace: Pace = QUICK,
    clock: Clock = boottime,
    wall_clock: WallClock = now,
    dataplane: type[Recorded] = Recorded,
    flows: FlowSettings = NO_FLOWS,
    open_sockets: OpenSockets = nowhere,
    proxies: Proxies | None = None,
) -> AsyncIterator[Harness]:
    """Runs an agent for a while; ends it as a crash would, which leaves the kernel as it is."""
    caller = Caller(control.address, identity.gateway(CELL, GATEWAY))
    kernel_side, socket = dataplane(kernel), directory / "gateway.sock"

    async def reach() -> Connection:
        if not nats:
            return await never()
        connection = Connection(nats, GATEWAY, identity.nats_gateway(CELL, GATEWAY))
        await connection.open()
        return connection

    settings = AgentSettings(GATEWAY, CELL, socket, pace, flows)
    running = Agent(
        settings,
        kernel_side,
        caller,
        reach,
        clock=clock,
        wall_clock=wall_clock,
        open_sockets=open_sockets,
        proxies=proxies,
    )
    task = asyncio.create_task(running.run())
    try:
        yield Harness(running, kernel_side, socket, task)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await caller.close()


async def eventually(what: str, is_so: Callable[[], bool]) -> None:
    """Waits until it is so. Raises AssertionError with what was waited for."""
    try:
        async with asyncio.timeout(DEADLINE):
            while not is_so():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited {DEADLINE} s in vain for {what}") from None
