"""A gateway of a stage: the process of gateway.py, and how its table is worded to it."""

import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from benchmarks.processes import Child, Failed, child, module
from benchmarks.stage import (
    BEAT_PORT,
    BULK_PORT,
    COUNT,
    FLOOD_PORT,
    LOAD_PORT,
    SERVER,
    TARGET,
    Stage,
    consecutive,
    give_addresses,
)
from tests.support.namespaces import Namespace

SESSIONS = 400_000
PATIENCE_SECONDS = 600.0
"""For 100,000 endpoints to be put or read, however busy the machine is."""

PORTS = (("tcp", LOAD_PORT), ("tcp", BULK_PORT), ("tcp", FLOOD_PORT), ("udp", FLOOD_PORT), ("udp", BEAT_PORT))
FIRST_SOURCE = IPv4Address("198.19.128.1")

Table = Sequence[Mapping[str, Any]]


def attachment(vpc: str, namespace: str) -> Mapping[str, Any]:
    return {"kind": "attachment", "name": vpc, "namespace": namespace}


def service(vpc: str, backends: Sequence[str]) -> Mapping[str, Any]:
    """The one service of a provider's VPC."""
    return {"kind": "service", "name": f"service of {vpc}", "vpc": vpc, "ports": PORTS, "backends": backends}


def endpoints(
    provider: str,
    address: IPv4Address,
    count: int,
    *,
    source: IPv4Address = FIRST_SOURCE,
    sources: int = 1,
    ranges: int = 0,
) -> Mapping[str, Any]:
    """So many endpoints in the client's VPC, each with so many source addresses, and ranges in its whitelist."""
    return {
        "kind": "endpoints",
        "name": f"{provider} at {address}",
        "vpc": "client",
        "service": f"service of {provider}",
        "address": str(address),
        "count": count,
        "source": str(source),
        "sources": sources,
        "ranges": ranges,
    }


class Gateway:
    """A running one; `table` is all that it was told to forward."""

    def __init__(self, namespace: Namespace, bpffs: Path, sessions: int, processes: AsyncExitStack) -> None:
        self._namespace, self._processes = namespace, processes
        self._wanted = {"gateway": namespace.name, "bpffs": str(bpffs), "sessions": sessions}
        self._process: Child | None = None
        self.table: list[Mapping[str, Any]] = []

    async def start(self, **more: Any) -> Any:
        """Gives what it says when the kernel's table is in its hands."""
        command = module("benchmarks.gateway")
        started = child(command, namespace=self._namespace, end=signal.SIGTERM)
        self._process = await self._processes.enter_async_context(started)
        await self._process.tell(**self._wanted, **more)
        return await self._process.hear(PATIENCE_SECONDS)

    async def start_again(self) -> float:
        """Kills it, and has another process take over; gives the seconds that this takes until all is as desired."""
        os.kill(self.process.pid, signal.SIGKILL)
        return float((await self.start(table=self.table))["seconds"])

    @property
    def process(self) -> Child:
        if self._process is None:
            raise Failed("the gateway was not started")
        return self._process

    async def ask(self, do: str, **facts: Any) -> Any:
        await self.process.tell(do=do, **facts)
        return await self.process.hear(PATIENCE_SECONDS)

    async def remove(self, part: Mapping[str, Any], number: int) -> int:
        """Removes one of the endpoints of a part of the table; gives the moment of the call, nanoseconds since 1970."""
        return int((await self.ask("remove", endpoints=part, number=number))["began"])

    async def put(self, *parts: Mapping[str, Any]) -> float:
        """Puts them into the table; gives the seconds that this took."""
        self.table += (part for part in parts if part not in self.table)
        return float((await self.ask("put", table=parts))["seconds"])

    async def memory(self) -> int:
        """Bytes of kernel memory that its maps take."""
        return int((await self.ask("memory"))["bytes"])

    async def check(self) -> None:
        """Raises Failed if a packet was refused."""
        counters = await self.ask("count")
        if refused := {name: count for name, count in counters.items() if name.startswith("refused") and count}:
            raise Failed(f"the endpoint refused packets: {refused}")

    @contextmanager
    def resting(self) -> Iterator[None]:
        """The process stands still, as if it had nothing to do; the kernel goes on forwarding."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)


@asynccontextmanager
async def started(namespace: Namespace, bpffs: Path, sessions: int) -> AsyncIterator[Gateway]:
    """A gateway that forwards nothing yet; taken away again at the end."""
    async with AsyncExitStack() as processes:
        gateway = Gateway(namespace, bpffs, sessions, processes)
        await gateway.start()
        yield gateway


@asynccontextmanager
async def forwarding(
    stage: Stage, directory: Path, sessions: int = SESSIONS, ranges: int = 0
) -> AsyncIterator[Gateway]:
    """One that joins the stage's client and server by endpoints from TARGET on."""
    async with started(stage.gateway, directory / "bpf", sessions) as gateway:
        await gateway.put(attachment("client", stage.client.name), attachment("server", stage.server.name))
        give_addresses(stage)
        await gateway.put(service("server", consecutive(SERVER)), endpoints("server", TARGET, COUNT, ranges=ranges))
        await gateway.ask("resolve")
        yield gateway
