"""Packets through an endpoint, beside plain routing, routing with conntrack, HAProxy and nginx."""

import json
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, compare
from benchmarks.paths import conntrack, endpoint, haproxy, nginx, routing
from benchmarks.plan import Plan, Step
from benchmarks.processes import CLIENT_CPU, Failed, child
from benchmarks.processes import load as generator
from benchmarks.stage import BULK_PORT, CLIENT, COUNT, LOAD_PORT, Stage, Way, kinds_of_devices, raised

ENDPOINT = "an endpoint"
WAYS: Mapping[str, Way] = {
    "plain routing": routing,
    ENDPOINT: endpoint,
    "routing with conntrack": conntrack,
    "HAProxy": haproxy,
    "nginx stream": nginx,
}
NEEDED = {"haproxy": "haproxy", "nginx": "nginx-light with libnginx-mod-stream", "iperf3": "iperf3", "nft": "nftables"}
CONCURRENCY = 64
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

WHERE = (
    "Fresh network namespaces for client, gateway and server on one machine, joined by veth pairs with the same "
    "offloads; the client on the first processor, the server on the last; the ways take turns in each round"
)
METHODS = {
    "bulk_1_stream": "iperf3, one TCP stream, what the receiver got",
    "bulk_8_streams": "iperf3, eight TCP streams, what the receiver got",
    "round_trips": f"32 bytes there and back on {CONCURRENCY} open connections, as many as come",
    "round_trips_p99": f"the time of one of them, 99th percentile, with {CONCURRENCY} connections busy",
    "connections": f"connect, 32 bytes there and back, close; {CONCURRENCY} at a time from {COUNT} addresses",
}
UNITS = {
    "bulk_1_stream": "Gbit/s",
    "bulk_8_streams": "Gbit/s",
    "round_trips": "1/s",
    "round_trips_p99": "µs",
    "connections": "1/s",
}

Numbers = Mapping[str, float]


@dataclass(slots=True)
class Case:
    """Measures one way on a stage of its own."""

    stage: Stage
    target: str
    seconds: float

    async def numbers(self) -> Numbers:
        one, eight = [await self._bulk(streams) for streams in (1, 8)]
        trips, connections = [await self.load(verb) for verb in ("round_trips", "connections")]
        return {
            "bulk_1_stream": one,
            "bulk_8_streams": eight,
            "round_trips": trips["rate"],
            "round_trips_p99": trips["p99"],
            "connections": connections["rate"],
        }

    async def _bulk(self, streams: int) -> float:
        where = ("--client", self.target, "--port", str(BULK_PORT))
        command = ("iperf3", *where, "--parallel", str(streams), "--time", str(max(1, round(self.seconds))), "--json")
        async with child(command, namespace=self.stage.client, cpu=CLIENT_CPU) as client:
            said = json.loads(await client.hear_all())
        return float(said["end"]["sum_received"]["bits_per_second"]) / 1e9

    async def load(self, verb: str) -> Mapping[str, float]:
        """What the load generator has to say of `connections` or `round_trips`. Raises Failed after any error."""
        where = (self.target, str(LOAD_PORT), str(COUNT), str(CLIENT), str(COUNT))
        command = (generator(), verb, *where, str(CONCURRENCY), str(self.seconds))
        async with child(command, namespace=self.stage.client, cpu=CLIENT_CPU) as client:
            said: Mapping[str, float] = json.loads(await client.hear_all())
        if said["errors"] or not said["samples"]:
            raise Failed(f"{verb}: {said['errors']:.0f} errors, {said['samples']:.0f} answers")
        return said


class Rounds:
    """What each way had in each round; nothing where its case failed."""

    def __init__(self) -> None:
        self.numbers: dict[str, list[Numbers | None]] = defaultdict(list)
        self.failures: list[str] = []
        self._kinds: set[str] | None = None

    async def take(self, name: str, way: Way, seconds: float) -> None:
        """One case; a second one if that failed."""
        for _ in range(2):
            try:
                self.numbers[name].append(await self._measured(way, seconds))
            except Failed as failure:
                self.failures.append(f"{name}: {failure}")
            else:
                return
        self.numbers[name].append(None)

    async def _measured(self, way: Way, seconds: float) -> Numbers:
        with TemporaryDirectory(prefix="sidegate-bench-") as directory:
            async with raised(way, Path(directory)) as (stage, target):
                kinds = kinds_of_devices(stage)
                self._kinds = self._kinds or kinds
                if kinds != self._kinds:
                    raise Failed(f"the devices are {kinds}, elsewhere {self._kinds}")
                numbers = await Case(stage, target, seconds).numbers()
        return numbers

    def figures(self, name: str) -> list[Figure]:
        return [figure for other in WAYS if other != ENDPOINT for figure in self._beside(name, other)]

    def _beside(self, name: str, other: str) -> list[Figure]:
        both = zip(self.numbers[ENDPOINT], self.numbers[other], strict=True)
        pairs = [(ours[name], theirs[name]) for ours, theirs in both if ours and theirs]
        if not pairs:
            return []
        ours, theirs = zip(*pairs, strict=True)
        return [compare(name, ours, UNITS[name], method=f"{METHODS[name]}. {WHERE}.", other=other, theirs=theirs)]


def missing() -> list[str]:
    """What `make setup-bench` would install."""
    return [package for program, package in NEEDED.items() if not shutil.which(program, path=PATH)]


def steps(plan: Plan) -> int:
    return plan.rounds * len(WAYS)


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    """Raises Failed where a program is missing, or a way never worked."""
    if absent := missing():
        raise Failed(f"not installed: {', '.join(absent)} (make setup-bench)")
    rounds, ways = Rounds(), list(WAYS.items())
    for number in range(plan.rounds):
        first = number % len(ways)
        for name, way in ways[first:] + ways[:first]:
            step(f"round {number + 1}: {name}")
            await rounds.take(name, way, plan.seconds)
    for failure in rounds.failures:
        print(f"bench: a case failed and does not count: {failure}", file=sys.stderr)
    made = [figure for name in UNITS for figure in rounds.figures(name)]
    if len(made) < len(UNITS) * (len(ways) - 1):
        raise Failed(f"a way to the server never worked: {'; '.join(rounds.failures)}")
    return made
