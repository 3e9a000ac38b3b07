"""Changes where many endpoints are: one of them comes, changes and goes; traffic is cut; the agent is restarted."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.compiled import packets
from benchmarks.figures import Figure, compare, compare_quantiles, quantile, rounded
from benchmarks.full import Full, provider, raised_full
from benchmarks.gateways import FIRST_SOURCE, SESSIONS, endpoints
from benchmarks.plan import Plan, Step
from benchmarks.processes import CLIENT_CPU, SERVER_CPU, Child, Failed, child
from benchmarks.stage import BEAT_PORT, COUNT, EVERYWHERE, Stage

BEAT_MICROSECONDS = 100
IN_A_ROW = 10
"""Changes of one gateway, then it is the other's turn."""

PAUSE, PATIENCE = 0.02, 5.0
"""Seconds in which no packet comes any more, or in which all must have come."""

CHANGES = ("add", "change", "remove")
VARIED = endpoints(provider(0), IPv4Address("10.127.0.1"), 0, source=FIRST_SOURCE + 30_000)
QUANTILES = (("p50", 0.5), ("p99", 0.99))
FEW = f"{COUNT} endpoints"
BEATS = f"A client sends a numbered UDP packet every {BEAT_MICROSECONDS} µs"


@dataclass(frozen=True, slots=True)
class Beats:
    """Numbered packets on their way from a client to the server that stamps them."""

    client: Child
    server: Child
    before: int

    async def heard(self) -> tuple[int, int]:
        """How many the server has had of them, and when the last one came, nanoseconds since 1970."""
        heard, last = await stamps(self.server)
        return heard - self.before, last

    async def until_more_than(self, count: int) -> None:
        """Raises Failed if so many do not come."""
        end = time.monotonic() + PATIENCE
        while (await self.heard())[0] <= count:
            if time.monotonic() > end:
                raise Failed(f"no more than {count} packets come")
            await asyncio.sleep(PAUSE)

    async def until_silence(self) -> tuple[int, int]:
        """What was heard when no more comes. Raises Failed if it goes on."""
        end, before = time.monotonic() + PATIENCE, await self.heard()
        while time.monotonic() < end:
            await asyncio.sleep(PAUSE)
            now = await self.heard()
            if now == before:
                return now
            before = now
        raise Failed("packets still come")

    async def stop(self) -> int:
        """How many were sent."""
        await self.client.tell()
        return int((await self.client.hear())["sent"])


@asynccontextmanager
async def stamping(stage: Stage) -> AsyncIterator[Child]:
    command = (packets(), "stamp", EVERYWHERE, str(BEAT_PORT))
    async with child(command, namespace=stage.server, cpu=SERVER_CPU) as server:
        await server.hear()
        yield server


async def stamps(server: Child) -> tuple[int, int]:
    """As Beats.heard, of all that ever came."""
    await server.tell()
    said = await server.hear()
    return said["heard"], said["last"]


@asynccontextmanager
async def beating(full: Full, server: Child) -> AsyncIterator[Beats]:
    """Through the first of the stage's own endpoints; packets have come already."""
    command = (packets(), "beat", full.target, str(BEAT_PORT), str(BEAT_MICROSECONDS))
    before, _ = await stamps(server)
    async with child(command, namespace=full.stage.client, cpu=CLIENT_CPU) as client:
        await client.hear()
        beats = Beats(client, server, before)
        await beats.until_more_than(0)
        yield beats


async def cut(full: Full, server: Child) -> float:
    """Milliseconds from the call that removes an endpoint to the last packet of an established session."""
    async with beating(full, server) as beats:
        began = await full.gateway.remove(full.own_endpoints, 0)
        _, last = await beats.until_silence()
    await full.gateway.put(full.own_endpoints)
    return max(0.0, (last - began) / 1e6)


async def restart(full: Full, server: Child) -> tuple[float, int]:
    """The seconds that a new agent takes, and how many packets were lost from before the old one's end."""
    async with beating(full, server) as beats:
        heard, _ = await beats.heard()
        took = await full.gateway.start_again()
        await beats.until_more_than(heard)
        sent = await beats.stop()
        heard, _ = await beats.until_silence()
    return took, sent - heard


async def vary(full: Full, few: Full, plan: Plan, step: Step) -> Iterator[Figure]:
    took: defaultdict[tuple[str, bool], list[float]] = defaultdict(list)
    for first in range(0, plan.samples, IN_A_ROW):
        step(f"one endpoint, {first} of {plan.samples} times")
        for side in (full, few):
            said = await side.gateway.ask("vary", endpoints=VARIED, first=first, samples=IN_A_ROW)
            for what in CHANGES:
                took[what, side is full] += said[what]
    return varied(took, full.endpoints)


def varied(took: Mapping[tuple[str, bool], Sequence[float]], present: int) -> Iterator[Figure]:
    method = (
        f"The whole call of the data plane's apply, where {present:,} other endpoints are: Python, the table's writes "
        "in the kernel, and the announcement of an address. A change is another whitelist."
    )
    for what in CHANGES:
        for suffix, share in QUANTILES:
            name, ours, theirs = f"endpoint_{what}_{suffix}", took[what, True], took[what, False]
            yield compare_quantiles(name, share, ours, "ms", method=method, other=FEW, theirs=theirs)


def cuts_of(plan: Plan) -> int:
    return max(5, plan.samples // 4)


def steps(plan: Plan) -> int:
    return 1 + -(-plan.samples // IN_A_ROW) + cuts_of(plan) + plan.rounds


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    """Raises Failed where packets do not come, or do not cease to."""
    async with AsyncExitStack() as stack:
        directories = [Path(stack.enter_context(TemporaryDirectory(prefix="sidegate-bench-"))) for _ in range(2)]
        few = await stack.enter_async_context(raised_full(directories[0], SESSIONS, providers=1))
        full = await stack.enter_async_context(raised_full(directories[1], SESSIONS, refuses=True))
        step(f"{plan.endpoints:,} endpoints")
        await full.add_endpoints(plan.endpoints)
        made = list(await vary(full, few, plan, step))
        server = await stack.enter_async_context(stamping(full.stage))
        cuts, starts, lost = [], [], 0
        for number in range(cuts_of(plan)):
            step(f"cut, {number + 1} of {cuts_of(plan)}")
            cuts.append(await cut(full, server))
        for number in range(plan.rounds):
            step(f"restart, {number + 1} of {plan.rounds}")
            took, missing = await restart(full, server)
            starts.append(took)
            lost += missing
    return [*made, *cut_figures(cuts), *restart_figures(starts, lost, plan.endpoints)]


def cut_figures(cuts: Sequence[float]) -> Iterator[Figure]:
    method = (
        f"{BEATS} through an endpoint, and the kernel stamps those that arrive at the server: from the call of apply "
        "that removes the endpoint to the last of them."
    )
    for suffix, share in QUANTILES:
        yield Figure(f"reject_cut_{suffix}", rounded(quantile(cuts, share)), "ms", "", None, len(cuts), method)


def restart_figures(starts: Sequence[float], lost: int, present: int) -> Iterator[Figure]:
    method = (
        f"A process opens the data plane, finds {present:,} endpoints in the kernel, left by one that was killed, "
        "reads them, takes in the table that is desired, and compares: until nothing is left to do."
    )
    yield compare("agent_start_100k", starts, "s", method=method)
    method = (
        f"{BEATS} while the agent is killed and another takes over: those that were lost, of all restarts together."
    )
    yield Figure("restart_loss", float(lost), "packets", "", None, len(starts), method)
