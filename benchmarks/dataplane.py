"""Packets through an endpoint, beside plain routing, routing with conntrack, HAProxy and nginx."""

import json
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.compiled import load as generator
from benchmarks.figures import Figure
from benchmarks.offloads import leave_packets_alone
from benchmarks.paths import conntrack, endpoint, haproxy, nginx, routing
from benchmarks.plan import Plan, Step
from benchmarks.processes import CLIENT_CPU, Failed, child
from benchmarks.rounds import ENDPOINT, PATH, Numbers, Rounds
from benchmarks.stage import BULK_PORT, CLIENT, COUNT, LOAD_PORT, Stage, Way, kinds_of_devices, raised
from tests.support.namespaces import DEVICE

WAYS: Mapping[str, Way] = {
    "plain routing": routing,
    ENDPOINT: endpoint,
    "routing with conntrack": conntrack,
    "HAProxy": haproxy,
    "nginx stream": nginx,
}
ONE_RANGE, MOST_RANGES = 1, 10_000
WHITELISTS: Mapping[str, Way] = {
    ENDPOINT: partial(endpoint, ranges=MOST_RANGES),
    "a whitelist of one range": partial(endpoint, ranges=ONE_RANGE),
}
NEEDED = {"haproxy": "haproxy", "nginx": "nginx-light with libnginx-mod-stream", "iperf3": "iperf3", "nft": "nftables"}
CONCURRENCY = 64

WHERE = (
    "Fresh network namespaces for client, gateway and server on one machine, joined by veth pairs with the same "
    "offloads; the client on the first processor, the server on the last; the ways take turns in each round"
)
METHODS = {
    "bulk_1_stream": "iperf3, one TCP stream, what the receiver got",
    "bulk_8_streams": "iperf3, eight TCP streams, what the receiver got",
    "bulk_mtu": (
        "iperf3, one TCP stream whose packets are of the devices' MTU, as from a network: client and server have "
        "TSO, GSO and GRO off"
    ),
    "round_trips": f"32 bytes there and back on {CONCURRENCY} open connections, as many as come",
    "round_trips_p99": f"the time of one of them, 99th percentile, with {CONCURRENCY} connections busy",
    "connections": f"connect, 32 bytes there and back, close; {CONCURRENCY} at a time from {COUNT} addresses",
}
WHITELIST_METHOD = (
    "Connect, 32 bytes there and back, close, as in `connections`, where each endpoint has a whitelist of "
    f"{MOST_RANGES:,} ranges, and the clients are in the last of them"
)
WHITELIST_UNITS = {"connections_10k_ranges": "1/s"}
UNITS = {
    "bulk_1_stream": "Gbit/s",
    "bulk_8_streams": "Gbit/s",
    "bulk_mtu": "Gbit/s",
    "round_trips": "1/s",
    "round_trips_p99": "µs",
    "connections": "1/s",
}


@dataclass(slots=True)
class Case:
    """Measures one way on a stage of its own."""

    stage: Stage
    target: str
    seconds: float

    async def numbers(self) -> Numbers:
        one, eight = [await self.bulk(streams) for streams in (1, 8)]
        trips, connections = [await self.load(verb) for verb in ("round_trips", "connections")]
        for end in (self.stage.client, self.stage.server):
            leave_packets_alone(end, DEVICE)
        return {
            "bulk_1_stream": one,
            "bulk_8_streams": eight,
            "bulk_mtu": await self.bulk(1),
            "round_trips": trips["rate"],
            "round_trips_p99": trips["p99"],
            "connections": connections["rate"],
        }

    async def bulk(self, streams: int) -> float:
        """Gbit/s."""
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


class Cases:
    """Measures ways, and minds that the devices of all of them are of one kind."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kinds: set[str] | None = None

    async def measure(self, way: Way) -> Numbers:
        return await self._on_a_stage(way, Case.numbers)

    async def connections(self, way: Way) -> Numbers:
        async def numbers(case: Case) -> Numbers:
            return {"connections_10k_ranges": (await case.load("connections"))["rate"]}

        return await self._on_a_stage(way, numbers)

    async def _on_a_stage(self, way: Way, numbers: Callable[[Case], Awaitable[Numbers]]) -> Numbers:
        with TemporaryDirectory(prefix="sidegate-bench-") as directory:
            async with raised(way, Path(directory)) as (stage, target):
                kinds = kinds_of_devices(stage)
                self._kinds = self._kinds or kinds
                if kinds != self._kinds:
                    raise Failed(f"the devices are {kinds}, elsewhere {self._kinds}")
                return await numbers(Case(stage, target, self._seconds))


def missing() -> list[str]:
    """What `make setup-bench` would install."""
    return [package for program, package in NEEDED.items() if not shutil.which(program, path=PATH)]


def steps(plan: Plan) -> int:
    return plan.rounds * (len(WAYS) + len(WHITELISTS))


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    """Raises Failed where a program is missing, or a way never worked."""
    if absent := missing():
        raise Failed(f"not installed: {', '.join(absent)} (make setup-bench)")
    cases = Cases(plan.seconds)
    rounds, whitelists = Rounds(WAYS, cases.measure), Rounds(WHITELISTS, cases.connections)
    for each in (rounds, whitelists):
        await each.take_all(plan.rounds, step)
    made = rounds.all_figures(UNITS, lambda name: f"{METHODS[name]}. {WHERE}")
    return [*made, *whitelists.all_figures(WHITELIST_UNITS, lambda _: f"{WHITELIST_METHOD}. {WHERE}")]
