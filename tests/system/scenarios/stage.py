"""Where a scenario is played: a running Sidegate, networks attached to it, programs in them, taps on their wires."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Self

from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from sidegate.client import Client
from tests.support.daemons import Daemon, daemon
from tests.support.namespaces import Namespace
from tests.support.standalone import Standalone, until
from tests.support.switched import NIC, Switch, quiet
from tests.support.wire_tap import Tap, tapped
from tests.support.world import Site
from tests.system.scenarios.record import Observation, Record

DEVICE = "sidegate0"
TIMES = 5
QUIET_FOR, QUIET_AFTER = 0.03, 1.0
"""Seconds without a packet that make a wire quiet, and after which it is looked at though it is not."""

DNSMASQ = (
    "--keep-in-foreground",
    "--conf-file=/dev/null",
    "--no-resolv",
    "--no-hosts",
    "--pid-file=",
    "--user=root",
    "--bind-interfaces",
    "--log-queries",
    "--log-facility=-",
)
"""dnsmasq that knows what it is told here, and asks nobody."""


@dataclass(frozen=True)
class Host:
    """A machine in a namespace of its own."""

    title: str
    space: Namespace
    address: str

    def __str__(self) -> str:
        return f"{self.title} {self.address}"


@dataclass
class Network(Site):
    """A VPC of an account: a switch in a namespace, which the gateway is attached to, and hosts cabled to it."""

    title: str
    cidr: str
    switch: Switch
    stage: "Stage"

    @property
    def router(self) -> str:
        """Where its hosts send what is not of their network, whether somebody has that address or not."""
        return str(ip_network(self.cidr)[-2])

    async def host(self, title: str, address: str) -> Host:
        """A machine with an address of the subnet, which is taken for it in the registry."""
        label, length = title.replace(" ", "-"), ip_network(self.cidr).prefixlen
        space = self.switch.host(label, f"{address}/{length}", self.stage.things)
        space.ip("route", "add", "default", "via", self.router)
        await self.client.ports.create(self.subnet_id, f"machine/{label}", address)
        made = Host(f"{title} in {self.title}", space, address)
        self.stage.tap(made.title, space, NIC)
        return made


class Stage:
    """`async with Stage(sidegate, record, directory) as stage:`. All that was made on it goes at its end."""

    def __init__(
        self, sidegate: Standalone, record: Record, directory: Path, *, dns_port: int = 0, project: str = "default"
    ) -> None:
        self.sidegate, self.record, self.directory, self.project = sidegate, record, directory, project
        self._dns_port = dns_port
        self.things = contextlib.ExitStack()
        """Closed last: namespaces."""
        self._clients = contextlib.AsyncExitStack()
        self._taps: list[Tap] = []
        self._shown: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        self.operator = await self.client("operator")
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._clients.aclose()
        finally:
            self.things.close()

    async def client(self, account: str) -> Client:
        """In the project in which the scenario is played."""
        return await self._clients.enter_async_context(self.sidegate.client(account, self.project))

    async def network(self, title: str, account: str, cidr: str) -> Network:
        """A VPC of one subnet, attached to the gateway; several accounts' may have the same addresses."""
        label = title.lower().replace(" ", "")
        client, switch = await self.client(account), Switch.make(label, self.things)
        vpc = await client.vpcs.create(label, [cidr])
        subnet = await client.subnets.create("main", vpc.id, cidr)
        await self.operator.attachments.create(vpc.id, NetnsTarget(namespace=switch.space.name))

        async def attached() -> bool:
            return DEVICE in switch.space.devices()

        await until(f"the gateway's device in {title}", attached)
        switch.plug_in(DEVICE)
        return Network(account, switch.space, vpc.id, subnet.id, client, title, cidr, switch, self)

    def elsewhere(self, title: str) -> Namespace:
        """A namespace that no gateway knows of: a router, a data centre."""
        return quiet(title.replace(" ", "-"), self.things)

    def run(self, name: str, namespace: Namespace | None, *command: str) -> Daemon:
        """A program that runs in a namespace until the end; outside of all where none is named."""
        log = self.directory / f"{name.replace(' ', '-')}.log"
        return self.things.enter_context(daemon(name, namespace, command, log))

    def publish_in_dns(self, name: str, text: str) -> None:
        """A TXT record in the internet's DNS, as far as Sidegate asks it: dnsmasq at a port of this machine's."""
        where = (f"--port={self._dns_port}", "--listen-address=127.0.0.1", f"--txt-record={name},{text}")
        self.run("public DNS", None, "dnsmasq", *DNSMASQ, *where)

    def tap(self, place: str, namespace: Namespace, device: str) -> Tap:
        """What passes there is shown after each step."""
        (made,) = self.things.enter_context(tapped((place, namespace, device)))
        self._taps.append(made)
        return made

    async def show_wires(self) -> None:
        """What has passed since the last time, once nothing passes any more: conversations take their leave."""
        seen = -1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_AFTER):
                while seen != (seen := sum(tap.packets for tap in self._taps)):
                    await asyncio.sleep(QUIET_FOR)
        for tap in self._taps:
            for line in tap.lines():
                self.record.wire(line)
            tap.begin_anew()

    def tell(self, line: str) -> None:
        self.record.tell(line)

    async def observe(
        self,
        asked: str,
        origin: Host,
        through: str,
        ask: Callable[[], Awaitable[str]],
        *,
        seen: Callable[[], str] = lambda: "",
        times: int = TIMES,
    ) -> str:
        """Asks `times` times, puts one row into the table at the end, and gives the answer, always the same."""
        answers, took = set(), []
        for _ in range(times):
            begun = perf_counter()
            answers.add(await ask())
            took.append((perf_counter() - begun) * 1000)
        assert len(answers) == 1, f"{asked}: different answers: {answers}"
        (answer,) = answers
        self.record.observe(Observation(asked, str(origin), through, answer, median(took), seen()))
        return answer


def told_of_dns(port: int) -> tuple[str, str]:
    """How Sidegate is started, so that it finds what is published in the DNS of a stage."""
    return "--name-servers", f"127.0.0.1:{port}"


def last(sources: Sequence[str]) -> Callable[[], str]:
    """The newest of what a server has written down of its clients' addresses."""
    return lambda: sources[-1] if sources else ""
