"""A gateway's data plane as a process, in the network namespace that it is started in.

Takes one JSON line of what to forward, says `attached`, waits for the line that says that the addresses are there,
says `ready` when all backends have answered, and its counters at the next line. Ended, it takes all of it away.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog

from services.common.program import run
from services.gateway_agent.dataplane.kernel import KernelDataplane
from services.gateway_agent.pace import Pace
from services.gateway_agent.table import Attachment, Backend, Endpoint, PortMapping, Protocol, Put, Service
from services.gateway_agent.targets import Netns

DEVICE = "sidegate0"
FIRST_SOURCE = IPv4Address("198.19.128.1")
SESSIONS = 400_000
PATIENCE_SECONDS = 30.0


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


async def hear() -> Any:
    """The next line. There is none any more where the one who measures has died: the signal to end comes with it."""
    line = await asyncio.to_thread(sys.stdin.readline)
    if not line:
        await asyncio.Event().wait()
    return json.loads(line)


def endpoints(consumer: str, service: Service, addresses: list[str]) -> Iterator[Endpoint]:
    for number, address in enumerate(addresses, 1):
        yield Endpoint(
            id=str(uuid4()),
            marker=number,
            vpc=consumer,
            address=IPv4Address(address),
            service=service.id,
            source_address=FIRST_SOURCE + number,
            admission=1,
        )


async def forward(dataplane: KernelDataplane, wanted: Any) -> None:
    consumer, provider = (Attachment(str(uuid4()), Netns(wanted[side], DEVICE)) for side in ("consumer", "provider"))
    for attachment in (consumer, provider):
        await dataplane.apply(Put(attachment))
    say(attached=True)
    await hear()
    ports = tuple(PortMapping(port, port, Protocol.TCP) for port in wanted["ports"])
    backends = tuple(Backend(IPv4Address(each)) for each in wanted["backends"])
    service = Service(str(uuid4()), provider.vpc, ports, backends)
    await dataplane.apply(Put(service))
    for endpoint in endpoints(consumer.vpc, service, wanted["endpoints"]):
        await dataplane.apply(Put(endpoint))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while dataplane.difficulties():
            await dataplane.wait_for_news()
    say(ready=True)


async def collect(dataplane: KernelDataplane) -> None:
    """As the agent does, at the agent's pace."""
    while True:
        await asyncio.sleep(Pace().collect)
        await dataplane.collect()


async def main() -> None:
    wanted = await hear()
    dataplane = KernelDataplane(wanted["gateway"], Path(wanted["bpffs"]), SESSIONS)
    try:
        await dataplane.open()
        collecting = asyncio.create_task(collect(dataplane))
        await forward(dataplane, wanted)
        await hear()
        say(**await dataplane.counters())
        await collecting
    finally:
        await dataplane.uninstall()
        await dataplane.remove_devices()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for what is measured
    run(main())
