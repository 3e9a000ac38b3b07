"""What a packet costs a gateway: a flood of one processor through it, less the same flood dropped at its door."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from statistics import fmean, median

from benchmarks.compiled import packets
from benchmarks.ends import end_packets, ended
from benchmarks.processes import CLIENT_CPU, Failed, child
from benchmarks.stage import CLIENT, FLOOD_PORT, SERVER, Stage
from tests.support import namespaces
from tests.support.namespaces import DEVICE, Namespace

FLOWS = 64
SLICES = 5
"""Of a case: floor and way take turns, so that a moment in which the machine is slow is of both, or of a few."""

WARM_UP = 0.05
"""Seconds in which sessions are opened."""

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Flood:
    """From the device of a namespace to an address; what is sent must end at the device named last."""

    source: Namespace
    mac: str
    target: str
    sink: Namespace
    sink_device: str = DEVICE

    async def nanoseconds(self, seconds: float) -> float:
        """What a packet takes of the processor, generator and all. Raises Failed if not all of them have ended."""
        before = ended(self.sink, self.sink_device)
        where = (DEVICE, self.mac, str(CLIENT), self.target, str(FLOOD_PORT))
        command = (packets(), "flood", *where, str(FLOWS), str(seconds))
        async with child(command, namespace=self.source, cpu=CLIENT_CPU) as generator:
            said = json.loads(await generator.hear_all())
        arrived = ended(self.sink, self.sink_device) - before
        if arrived != said["sent"]:
            raise Failed(f"of {said['sent']} packets to {self.target}, {arrived} have arrived")
        return float(said["nanoseconds"])


@asynccontextmanager
async def floor() -> AsyncIterator[Flood]:
    """The generator alone: a gateway's device that drops whatever comes."""
    with namespaces.make("client", "gateway") as (client, gateway):
        gateway.ip("link", "add", "client", "type", "veth", "peer", "name", DEVICE, "netns", client.name)
        gateway.ip("link", "set", "client", "up")
        client.ip("link", "set", DEVICE, "up")
        end_packets(gateway, "client")
        yield Flood(client, gateway.mac("client").hex(":"), str(SERVER), gateway, "client")


def through(stage: Stage, target: str) -> Flood:
    """The way that the stage is joined by; its server's device drops the packets from now on."""
    end_packets(stage.server)
    return Flood(stage.client, next_hop(stage.client), target, stage.server)


def next_hop(client: Namespace) -> str:
    """The MAC address that all packets of a stage's client go to."""
    neighbours = json.loads(client.ip("-json", "neighbour", "show", "dev", DEVICE))
    (found,) = {each["lladdr"] for each in neighbours if "lladdr" in each}
    return str(found)


async def packet_cost(way: Flood, alone: Flood, seconds: float) -> float:
    """Nanoseconds of the gateway's own, taken for about so many seconds."""
    part = seconds / (2 * SLICES)
    await way.nanoseconds(WARM_UP)
    return await slices(partial(way.nanoseconds, part), partial(alone.nanoseconds, part))


async def slices(way: Measure, alone: Measure) -> float:
    """By turns: the generator at the gateway's door, and through the gateway."""
    floors, ways = [await alone()], []
    for _ in range(SLICES):
        ways.append(await way())
        floors.append(await alone())
    return own_cost(ways, floors)


def own_cost(ways: list[float], floors: list[float]) -> float:
    """The median of each slice less the two floors around it; there is one floor more than slices."""
    return median(way - fmean(floors[turn : turn + 2]) for turn, way in enumerate(ways))
