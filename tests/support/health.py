"""Hosts whose health a test decides, around the fake data plane and the kernel's alike.

ward = ward_of(world)
await ward.fare(payments, "10.0.0.20", Fares.STATUS)    # from now on it answers health checks so
await ward.checks(service, 2)                           # returns when each backend was asked so often again
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address

from services.gateway_agent.backend_health import Condition, Failure, ServiceHealth
from services.gateway_agent.table import Endpoint, HealthCheck, HealthProtocol, Service
from tests.support.namespaces import Namespace
from tests.support.worlds import PATIENCE, FakeWorld, KernelWorld, Vpc, World

PORT = 9000
"""Where hosts are asked: another than that of their sessions, which must go on whatever it says."""

HTTP = HealthCheck(
    HealthProtocol.HTTP, PORT, "/healthz?deep=1", interval=1, timeout=2, healthy_after=2, unhealthy_after=2
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MUCH = (
    b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-Padding-%d: %s\r\n" % (number, b"x" * 200) for number in range(50)) + b"\r\n"
)
SLOW_SECONDS = 0.1


class Fares(Enum):
    """What a host answers to a health check; the failure that is seen, if it is one."""

    WELL = None
    SLOW = None, "in two parts, with a pause between"
    MUCH = None, "with a head of many segments"
    REFUSED = Failure.REFUSED
    STATUS = Failure.STATUS
    MUTE = Failure.SILENT
    NOT_HTTP = Failure.NOT_HTTP
    CLOSED = Failure.CLOSED

    @property
    def failure(self) -> Failure | None:
        return self.value if isinstance(self.value, Failure) else None


class Ward(ABC):
    """Where hosts are kept whose health a test decides."""

    world: World

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}  # by the service that they lead to

    @abstractmethod
    async def fare(self, vpc: Vpc, address: str, how: Fares) -> None:
        """Has a host answer health checks so from now on."""

    @abstractmethod
    async def checks(self, service: Service, times: int = 1) -> None:
        """Returns when each of its backends was asked so often again."""

    def health(self, service: Service) -> ServiceHealth:
        found = self.world.dataplane.health(service.id)
        assert found is not None
        return found

    def conditions(self, service: Service) -> dict[str, Condition]:
        return {str(each.address): each.condition for each in self.health(service).backends}

    async def becomes(self, service: Service, **conditions: Condition) -> None:
        """Waits until the backends, by the last number of their addresses behind "h", are so."""
        await self.become(service, {f"10.0.0.{name[1:]}": condition for name, condition in conditions.items()})

    async def become(self, service: Service, wanted: Mapping[str, Condition]) -> None:
        """Waits until the backends with these addresses are so."""
        async with asyncio.timeout(PATIENCE):
            while {address: self.conditions(service).get(address) for address in wanted} != wanted:
                await self.checks(service)


class FakeWard(Ward):
    def __init__(self, world: FakeWorld) -> None:
        super().__init__()
        self.world: FakeWorld = world

    async def fare(self, vpc: Vpc, address: str, how: Fares) -> None:
        place = (vpc.id, ip_address(address))
        if how.failure is None:
            self.world.dataplane.kernel.unhealthy.pop(place, None)
        else:
            self.world.dataplane.kernel.unhealthy[place] = how.failure

    async def checks(self, service: Service, times: int = 1) -> None:
        for _ in range(times):
            self.world.dataplane.check()


@dataclass
class HealthPort:
    """A server that answers as it is told, and keeps what it was asked."""

    namespace: Namespace
    address: str
    how: Fares = Fares.WELL
    heard: list[bytes] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _answers: set[asyncio.Task[None]] = field(default_factory=set)

    async def fare(self, how: Fares) -> None:
        self.how = how
        if how is Fares.REFUSED:
            await self.stop()
        elif self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=self.namespace.tcp_listener(self.address, PORT))

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in self._answers:
            task.cancel()
        if self._answers:
            await asyncio.wait(self._answers)
            await asyncio.sleep(0)  # for transports to be closed

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answers.add(task)
        self.peers.append(writer.get_extra_info("peername")[0])
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.heard.append(request)
            for part in self._parts():
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(SLOW_SECONDS if self.how is Fares.SLOW else 0)
            if self.how is not Fares.CLOSED:
                await reader.read()  # until they have had enough
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # as stop() wishes, too
        finally:
            self._answers.discard(task)
            writer.transport.abort()

    def _parts(self) -> list[bytes]:
        match self.how:
            case Fares.STATUS:
                return [OK.replace(b"200 OK", b"500 Internal Server Error")]
            case Fares.SLOW:
                return [b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK[:12], OK[12:]]
            case Fares.MUCH:
                return [MUCH]
            case Fares.NOT_HTTP:
                return [b"SSH-2.0-OpenSSH_9.6\r\n"]
            case Fares.CLOSED | Fares.MUTE:
                return []
            case _:
                return [OK]


class KernelWard(Ward):
    def __init__(self, world: KernelWorld) -> None:
        super().__init__()
        self.world: KernelWorld = world
        self.ports: dict[tuple[str, str], HealthPort] = {}

    async def fare(self, vpc: Vpc, address: str, how: Fares) -> None:
        place = (vpc.id, address)
        if place not in self.ports:
            self.ports[place] = HealthPort(self.world.namespace(vpc, address), address)
        await self.ports[place].fare(how)

    async def checks(self, service: Service, times: int = 1) -> None:
        before = {each.address: each.checks for each in self.health(service).backends}
        async with asyncio.timeout(PATIENCE):
            while any(each.checks < before[each.address] + times for each in self.health(service).backends):
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        for port in self.ports.values():
            await port.stop()
