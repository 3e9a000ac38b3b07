"""A gateway's data plane as a process, in the network namespace that it is started in; gateways.py talks to it.

Takes one JSON line for each thing to do and answers each with one. The first says which gateway it is; with `table` in
it, a table that an earlier process has left in the kernel is taken over as an agent does. Ended by SIGTERM, it takes
everything away; ended by SIGKILL, it leaves the kernel forwarding.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import structlog

from services.common.program import run
from services.gateway_agent.dataplane.kernel import KernelDataplane
from services.gateway_agent.desired import Desired, Versioned
from services.gateway_agent.pace import Pace
from services.gateway_agent.table import (
    ANYWHERE,
    Attachment,
    Backend,
    Change,
    Endpoint,
    Entry,
    PortMapping,
    Protocol,
    Put,
    Remove,
    Service,
    Timeouts,
)
from services.gateway_agent.targets import Netns
from services.gateway_agent.tracker import Tracker

DEVICE = "sidegate0"
PATIENCE_SECONDS = 50.0
LONGEST_LINE = 1 << 20
LASTING = Timeouts(tcp_established=86_400, tcp_half_open=600)
"""So that sessions which are there to be there are not collected before the end of a run."""

ELSEWHERE = (IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"))
"""A whitelist that a change changes to."""

STRANGERS, CLIENTS = IPv4Address("172.16.0.0"), IPv4Network("10.0.0.0/8")


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


async def listening() -> asyncio.StreamReader:
    """Stdin, without a thread that would hold up the end."""
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def hear(reader: asyncio.StreamReader) -> Any:
    """The next line. There is none any more where the one who measures has died: the signal to end comes with it."""
    line = await reader.readline()
    if not line:
        await asyncio.Event().wait()
    return json.loads(line)


@cache
def _first_id(name: str) -> int:
    return uuid5(NAMESPACE_OID, name).int


def id_of(name: str, number: int = 0) -> str:
    return str(UUID(int=_first_id(name) + number))


def entries(wanted: Any) -> Iterator[Entry]:
    """What a part of a table holds, as gateways.py words it; each process that is told it has the same."""
    match wanted["kind"]:
        case "attachment":
            yield Attachment(id_of(wanted["name"]), Netns(wanted["namespace"], DEVICE))
        case "service":
            ports = tuple(PortMapping(port, port, Protocol(protocol)) for protocol, port in wanted["ports"])
            backends = tuple(Backend(IPv4Address(each)) for each in wanted["backends"])
            yield Service(id_of(wanted["name"]), id_of(wanted["vpc"]), ports, backends, timeouts=LASTING)
        case "endpoints":
            yield from map(Endpoints(wanted).number, range(wanted["count"]))


def whitelist(ranges: int) -> tuple[IPv4Network, ...]:
    """So many ranges, of which the clients are in the last; none is everybody's."""
    strangers = (IPv4Network((int(STRANGERS) + 2 * number, 32)) for number in range(ranges - 1))
    return (*strangers, CLIENTS) if ranges else (ANYWHERE,)


class Endpoints:
    """Endpoints of one service with consecutive addresses; each has `sources` source addresses of its own."""

    def __init__(self, wanted: Any) -> None:
        self._name, self._vpc, self._service = wanted["name"], id_of(wanted["vpc"]), id_of(wanted["service"])
        self._address, self._source = IPv4Address(wanted["address"]), IPv4Address(wanted["source"])
        self._sources = wanted["sources"]
        self._allowed = whitelist(wanted["ranges"])

    def number(self, number: int) -> Endpoint:
        first = self._source + number * self._sources
        return Endpoint(
            id=id_of(self._name, number),
            marker=int(self._address) + number,
            vpc=self._vpc,
            address=self._address + number,
            service=self._service,
            source_address=first,
            admission=1,
            allowed=self._allowed,
            more_sources=tuple(first + more for more in range(1, self._sources)),
        )


def memory() -> int:
    """Bytes that the maps of this process have locked."""
    locked = {}
    for path in Path("/proc/self/fdinfo").iterdir():
        try:
            facts = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        except FileNotFoundError:  # the directory's own
            continue
        if "map_id" in facts:
            locked[facts["map_id"]] = int(facts["memlock"])
    return sum(locked.values())


class Gateway:
    """What can be asked of it: a method for each, which answers with the facts to say."""

    def __init__(self, dataplane: KernelDataplane) -> None:
        self._dataplane = dataplane

    async def put(self, table: Sequence[Any]) -> Mapping[str, Any]:
        began, count = time.monotonic(), 0
        for wanted in table:
            for entry in entries(wanted):
                await self._dataplane.apply(Put(entry))
                count += 1
        return {"count": count, "seconds": time.monotonic() - began}

    async def resolve(self) -> Mapping[str, Any]:
        """Waits until all backends have answered."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self._dataplane.difficulties():
                await self._dataplane.wait_for_news()
        return {"ready": True}

    async def count(self) -> Mapping[str, int]:
        return await self._dataplane.counters()

    async def memory(self) -> Mapping[str, int]:
        return {"bytes": memory()}

    async def vary(self, endpoints: Any, first: int, samples: int) -> Mapping[str, list[float]]:
        """Milliseconds of adding, changing and removing an endpoint, one after another."""
        made = Endpoints(endpoints)
        took: dict[str, list[float]] = {"add": [], "change": [], "remove": []}
        for number in range(first, first + samples):
            endpoint = made.number(number)
            narrowed = replace(endpoint, allowed=ELSEWHERE)
            changes: Sequence[Change] = (Put(endpoint), Put(narrowed), Remove(endpoint.key))
            for what, change in zip(took, changes, strict=True):
                began = time.perf_counter_ns()
                await self._dataplane.apply(change)
                took[what].append((time.perf_counter_ns() - began) / 1e6)
                await asyncio.sleep(0)  # what the data plane does besides is not left to the next one
        return took

    async def remove(self, endpoints: Any, number: int) -> Mapping[str, int]:
        """When the call was made, and when it came back, in nanoseconds since the epoch."""
        key, began = Endpoints(endpoints).number(number).key, time.time_ns()
        await self._dataplane.apply(Remove(key))
        return {"began": began, "ended": time.time_ns()}


async def take_over(dataplane: KernelDataplane, table: Sequence[Any]) -> float:
    """Opens it, compares what the kernel has with what is desired, and makes them one, as an agent does that has been
    told its table; answers the seconds."""
    news = [Versioned(entry.key, 1, entry) for wanted in table for entry in entries(wanted)]
    desired, tracker, began = Desired(), Tracker(), time.monotonic()
    await dataplane.open()
    tracker.resync(await dataplane.read())
    desired.replace(news, position=1)
    for key in desired.take_changed():
        tracker.want(key, desired.wanted(key))
    while tracker.ready:
        for change in tracker.pending():
            await dataplane.apply(change)
            tracker.applied(change)
    if not tracker.settled:
        raise RuntimeError("the table is not what is desired")
    return time.monotonic() - began


async def collect(dataplane: KernelDataplane) -> None:
    """As the agent does, at the agent's pace."""
    while True:
        await asyncio.sleep(Pace().collect)
        await dataplane.collect()


async def serve(gateway: Gateway, reader: asyncio.StreamReader) -> None:
    while True:
        wanted = await hear(reader)
        method: Callable[..., Awaitable[Mapping[str, Any]]] = getattr(gateway, wanted.pop("do"))
        say(**await method(**wanted))


async def main() -> None:
    reader = await listening()
    wanted = await hear(reader)
    dataplane = KernelDataplane(wanted["gateway"], Path(wanted["bpffs"]), wanted["sessions"])
    try:
        if "table" in wanted:
            say(seconds=await take_over(dataplane, wanted["table"]))
        else:
            await dataplane.open()
            say(opened=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(collect(dataplane))
            tasks.create_task(serve(Gateway(dataplane), reader))
    finally:
        await dataplane.uninstall()
        await dataplane.remove_devices()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for what is measured
    run(main())
