"""A stage whose gateway can be filled: with endpoints by the data plane's own verbs, with sessions by handshakes.

What fills it leads to VPCs of its own; the stage's client and server stay free for what is measured beside it.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from benchmarks.compiled import packets
from benchmarks.ends import end_packets, ended
from benchmarks.flood import Flood, next_hop, through
from benchmarks.gateways import PATIENCE_SECONDS, Gateway, attachment, endpoints, forwarding, service
from benchmarks.processes import CLIENT_CPU, Failed, child
from benchmarks.stage import CLIENT, COUNT, FLOOD_PORT, TARGET, Stage, raised, set_sysctls
from tests.support import namespaces
from tests.support.namespaces import DEVICE, Namespace

PROVIDERS = 4
"""VPCs that the endpoints of a crowd lead to: each has source addresses for 32,766."""

FIRST_ADDRESS, PROVIDER_STEP = IPv4Address("10.64.0.1"), 1 << 16
FIRST_CLIENT = IPv4Address("10.100.0.1")
"""Of the hosts that open sessions: none has the address of an endpoint."""

BACKEND = "10.3.0.20"
TARGETS = 10_000
"""Endpoints that sessions are spread over, at most."""

ENOUGH = 0.999
"""Of the handshakes that were begun: hash after hash, a source port may not be found."""


@dataclass(frozen=True, slots=True)
class Handshakes:
    """Sessions that are told apart by their number: of so many sources, targets and ports."""

    source: Namespace
    next_hop: str
    sink: Namespace  # where the far end is that answers
    target: IPv4Address | str
    targets: int
    sources: int = COUNT
    first_source: IPv4Address = CLIENT
    sink_device: str = DEVICE

    async def open(self, first: int, end: int) -> tuple[int, float]:
        """How many of the sessions `first` to `end` stand, and how many a processor opens in a second.

        Raises Failed where many do not.
        """
        answered, confirmed = ended(self.source), ended(self.sink)
        nanoseconds = await self._generate("open", first, end)
        stand = min(ended(self.source) - answered, ended(self.sink) - confirmed)
        if stand < ENOUGH * (end - first):
            raise Failed(f"of {end - first} sessions, {stand} stand")
        return stand, 1e9 / nanoseconds

    async def touch(self, first: int, end: int, count: int = 0) -> float:
        """Sends so many packets, one for each session in turn; gives the nanoseconds that a packet takes.

        Raises Failed if packets do not pass.
        """
        wanted, before = count or end - first, ended(self.sink, self.sink_device)
        nanoseconds = await self._generate("touch", first, end, wanted)
        passed = ended(self.sink, self.sink_device) - before
        if passed < ENOUGH * wanted:
            raise Failed(f"of {wanted} packets of open sessions, {passed} pass")
        return nanoseconds

    async def _generate(self, verb: str, *numbers: int) -> float:
        where = (DEVICE, self.next_hop, str(self.first_source), str(self.sources), str(self.target), str(self.targets))
        command = (packets(), verb, *where, str(FLOOD_PORT), *map(str, numbers))
        async with child(command, namespace=self.source, cpu=CLIENT_CPU) as generator:
            return float(json.loads(await generator.hear_all(PATIENCE_SECONDS))["nanoseconds"])


@dataclass(slots=True)
class Full:
    """As full as it was made."""

    stage: Stage
    gateway: Gateway
    flood: Flood
    providers: Sequence[Namespace]
    endpoints: int = 0
    begun: int = 0
    sessions: int = 0
    rates: list[float] = field(default_factory=list)

    @property
    def target(self) -> str:
        return str(TARGET)

    @property
    def handshakes(self) -> Handshakes:
        """Over the endpoints of the first provider."""
        targets = min(TARGETS, self.endpoints // len(self.providers))
        return self.handshakes_with(targets, COUNT)

    def handshakes_with(self, targets: int, sources: int) -> Handshakes:
        client, provider = self.stage.client, self.providers[0]
        return Handshakes(client, next_hop(client), provider, FIRST_ADDRESS, targets, sources, FIRST_CLIENT)

    async def add_endpoints(self, count: int) -> float:
        """Of all providers as many; gives the seconds that they took."""
        parts = [
            endpoints(provider(number), FIRST_ADDRESS + number * PROVIDER_STEP, count // len(self.providers))
            for number in range(len(self.providers))
        ]
        self.endpoints = count
        return await self.gateway.put(*parts)

    @property
    def own_endpoints(self) -> Mapping[str, Any]:
        """Those of the stage's client and server, as the gateway was told of them."""
        return next(part for part in self.gateway.table if part["kind"] == "endpoints")

    async def add_sessions(self, count: int) -> None:
        stand, rate = await self.handshakes.open(self.begun, self.begun + count)
        self.begun += count
        self.sessions += stand
        self.rates.append(rate)


def provider(number: int) -> str:
    return f"provider {number}"


@asynccontextmanager
async def raised_full(
    directory: Path, sessions: int, providers: int = PROVIDERS, *, refuses: bool = False
) -> AsyncIterator[Full]:
    """A gateway with room for so many sessions, with providers whose hosts answer, and nothing else in it yet.

    Raises Failed at the end where it has refused a packet, unless it is said to.
    """
    held: list[Gateway] = []

    @asynccontextmanager
    async def way(stage: Stage, directory: Path) -> AsyncIterator[str]:
        async with forwarding(stage, directory, sessions) as gateway:
            held.append(gateway)
            yield str(TARGET)
            if not refuses:
                await gateway.check()

    with namespaces.make(*["crowd"] * providers) as spaces:
        set_sysctls(spaces)
        async with raised(way, directory) as (stage, target):
            (gateway,) = held
            for number, space in enumerate(spaces):
                await gateway.put(attachment(provider(number), space.name))
                space.add_address(f"{BACKEND}/24")
                end_packets(space)
                await gateway.put(service(provider(number), [BACKEND]))
            await gateway.ask("resolve")
            end_packets(stage.client)
            yield Full(stage, gateway, through(stage, target), spaces)
