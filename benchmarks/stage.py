"""Where a case is measured: fresh network namespaces for a client, a gateway and a server, and what is checked after.

Addresses, sysctls, devices, offloads and the programs at both ends are the same for every path; `Failed` is raised for
a case that had an error of TCP or of a device, or devices other than the rest: its figures would compare nothing.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from benchmarks.compiled import load
from benchmarks.offloads import offloads
from benchmarks.processes import SERVER_CPU, Failed, child
from tests.support import namespaces
from tests.support.namespaces import DEVICE, Namespace

COUNT = 16
"""Clients' addresses, servers' addresses, endpoints: enough for no pair of addresses to run out of ports."""

CLIENT, TARGET, SERVER = (IPv4Address(first) for first in ("10.1.0.10", "10.1.0.100", "10.2.0.20"))
ROUTERS = {"client": "10.1.0.1", "server": "10.2.0.1"}
LOAD_PORT, BULK_PORT = 7000, 5201
FLOOD_PORT = 9000
"""Of generated packets, as far_end.bpf.c has it."""

BEAT_PORT = 9001
"""Of packets that are numbered."""
EVERYWHERE = "0.0.0.0"  # noqa: S104 # inside a namespace that nothing reaches

SYSCTLS = {
    "net.ipv4.tcp_no_metrics_save": "1",  # what one case taught the kernel must not help or hinder the next
    "net.ipv4.ip_local_port_range": "1024 65535",
    "net.ipv4.tcp_tw_reuse": "1",
    "net.core.somaxconn": "65535",
    "net.ipv4.tcp_max_syn_backlog": "65535",
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
}
DEVICE_FACTS = ("mtu", "num_tx_queues", "num_rx_queues", "gso_max_size", "gso_max_segs", "gro_max_size", "qdisc")
ERRORS = (("Tcp", "InCsumErrors"), ("Tcp", "InErrs"), ("Ip", "InHdrErrors"))


@dataclass(frozen=True, slots=True)
class Stage:
    """The three namespaces of a case."""

    client: Namespace
    gateway: Namespace
    server: Namespace

    @property
    def all(self) -> tuple[Namespace, ...]:
        return self.client, self.gateway, self.server


Way = Callable[[Stage, Path], AbstractAsyncContextManager[str]]
"""Joins client and server for as long as the block lasts; gives the first of the addresses to connect to."""


def set_sysctls(spaces: Iterable[Namespace]) -> None:
    for namespace in spaces:
        for name, value in SYSCTLS.items():
            namespace.set_sysctl(name, value)


def consecutive(first: IPv4Address) -> list[str]:
    return [str(first + number) for number in range(COUNT)]


def give_addresses(stage: Stage) -> None:
    for namespace, first in ((stage.client, CLIENT), (stage.server, SERVER)):
        for address in consecutive(first):
            namespace.add_address(f"{address}/24")


def join_by_routes(stage: Stage) -> None:
    """veth pairs whose far ends the tenants have, as a gateway agent makes them; the gateway forwards."""
    for namespace, name in ((stage.client, "client"), (stage.server, "server")):
        stage.gateway.ip("link", "add", name, "type", "veth", "peer", "name", DEVICE, "netns", namespace.name)
        stage.gateway.ip("address", "add", f"{ROUTERS[name]}/24", "dev", name)
        stage.gateway.ip("link", "set", name, "up")
        namespace.ip("link", "set", DEVICE, "up")
    give_addresses(stage)
    stage.gateway.set_sysctl("net.ipv4.ip_forward", "1")
    stage.client.ip("route", "add", "10.2.0.0/24", "via", ROUTERS["client"])
    stage.server.ip("route", "add", "10.1.0.0/24", "via", ROUTERS["server"])


def tracked_connections(stage: Stage) -> int:
    """How many the gateway's conntrack knows; 0 where it is not loaded into the namespace."""
    count = Path("/proc/sys/net/netfilter/nf_conntrack_count")
    return stage.gateway.run(lambda: int(count.read_text()) if count.exists() else 0)


@asynccontextmanager
async def raised(way: Way, directory: Path, *, bulk: bool = True) -> AsyncIterator[tuple[Stage, str]]:
    """A stage with its servers, joined that way, and where to connect to. Raises Failed, at the end too.

    Without `bulk` there is no iperf3, and none is needed.
    """
    with namespaces.make("client", "gateway", "server") as made:
        stage = Stage(*made)
        set_sysctls(stage.all)
        async with way(stage, directory) as target, servers(stage, bulk):
            await wait_until_open(stage, target)
            yield stage, target
            check(stage)


@asynccontextmanager
async def servers(stage: Stage, bulk: bool) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        echo = (load(), "serve", EVERYWHERE, str(LOAD_PORT))
        started = child(echo, namespace=stage.server, cpu=SERVER_CPU)
        await (await stack.enter_async_context(started)).hear()
        if bulk:
            iperf = ("iperf3", "--server", "--port", str(BULK_PORT), "--forceflush")
            started = child(iperf, namespace=stage.server, cpu=SERVER_CPU)
            await (await stack.enter_async_context(started)).hear_line("Server listening")
        yield


async def wait_until_open(stage: Stage, target: str) -> None:
    """Every address has answered once: neighbours are known, and a proxy listens."""
    await asyncio.gather(*[answered(stage, address) for address in consecutive(IPv4Address(target))])


async def answered(stage: Stage, address: str) -> None:
    async with child((load(), "first_byte", address, str(LOAD_PORT), "20"), namespace=stage.client) as trying:
        await trying.hear()
        await trying.hear()


def devices(stage: Stage) -> Iterator[tuple[Namespace, Mapping[str, Any]]]:
    """All that packets pass."""
    for namespace in stage.all:
        for link in json.loads(namespace.ip("-json", "-details", "-statistics", "link", "show", "type", "veth")):
            yield namespace, link


def kinds_of_devices(stage: Stage) -> set[str]:
    """What the devices are like: one kind, if nothing favours a path."""
    return {
        json.dumps([{fact: link.get(fact) for fact in DEVICE_FACTS}, offloads(namespace, link["ifname"])])
        for namespace, link in devices(stage)
    }


def check(stage: Stage) -> None:
    for namespace in stage.all:
        for protocol, name in ERRORS:
            if count := namespace.counter(protocol, name):
                raise Failed(f"{namespace.name} counted {count} of {protocol}.{name}")
    for namespace, link in devices(stage):
        errors = link["stats64"]["rx"]["errors"] + link["stats64"]["tx"]["errors"]
        if errors:
            raise Failed(f"{namespace.name}: {errors} errors on {link['ifname']}")
