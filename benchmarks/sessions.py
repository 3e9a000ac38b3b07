"""A data plane that is full: how many sessions it holds, how fast they come, and what all of it costs other packets."""

import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.aims import EMPTY
from benchmarks.dataplane import METHODS, UNITS, Case
from benchmarks.ends import end_packets
from benchmarks.figures import Figure, compare
from benchmarks.flood import FLOWS, Flood, floor, next_hop, packet_cost, slices
from benchmarks.full import FIRST_ADDRESS, Full, Handshakes, provider, raised_full
from benchmarks.gateways import endpoints, started
from benchmarks.paths import routing
from benchmarks.plan import Plan, Step
from benchmarks.processes import Failed
from benchmarks.rounds import Numbers
from benchmarks.stage import CLIENT, COUNT, check, consecutive, raised
from tests.support import namespaces

CHUNKS = 20
"""Of the sessions that fill a gateway: after each, plain routing has handshakes as well."""

ROUTED = 10_000
"""Handshakes that plain routing has then, at least, and a tenth of a chunk."""

SPARE = 1_000_000
"""Room for the sessions of what is measured."""

BYTES = 600
"""That a session may take in a kernel's memory; of what is free, not more than SHARE is filled."""

SHARE = 0.7
ONE_ENDPOINT = 1_000_000
SOURCES_OF_ONE = 128
PROBED = 200_000
"""Packets of sessions that are there, one of each in turn."""

HOT = 1_000
"""Sessions that are in the processor's caches."""

MEASURED = {"packet_cost": "ns", **{name: UNITS[name] for name in ("round_trips", "connections", "bulk_1_stream")}}
ALIKE = (
    "Two gateways with as much room stand side by side, an empty one and one that is filled more and more, and take "
    "turns in each round; the agent of each collects sessions at its pace while its own gateway's turn is"
)
HANDSHAKE = (
    "SYN, SYN-ACK and ACK each pass the gateway, from a raw generator to a program on the provider's device that "
    "answers, on one processor; that each passed was counted at both ends"
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much the memory lets there be."""

    endpoints: int
    sessions: int

    def __str__(self) -> str:
        return f"{self.endpoints:,} endpoints and {self.sessions:,} sessions"


def size_of(plan: Plan, free: int) -> Size:
    """Two gateways have room for all of it. In whole chunks, of which two are a tenth."""
    most = int(SHARE * free / (2 * BYTES)) - SPARE
    chunk = min(plan.sessions, max(most, CHUNKS)) // CHUNKS
    return Size(plan.endpoints, chunk * CHUNKS)


def free_memory() -> int:
    """Bytes that programs may have."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise Failed("this kernel does not tell what memory is free")


@dataclass(slots=True)
class Beside:
    """What the full and the empty gateway had, round by round."""

    full: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    empty: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def figures(self, crowd: str, present: str) -> Iterator[Figure]:
        for name, unit in MEASURED.items():
            if not self.full[name]:
                raise Failed(f"{name} was never measured with {present}")
            what = METHODS.get(name, f"as packet_cost alone, {FLOWS} flows")
            method = f"{what}. Beside {present}. {ALIKE}."
            ours, theirs = self.full[name], self.empty[name]
            yield compare(f"{name}_{crowd}", ours, unit, method=method, other=EMPTY, theirs=theirs)


async def numbers(side: Full, alone: Flood, seconds: float) -> Numbers:
    case = Case(side.stage, side.target, seconds)
    measured = {
        "packet_cost": await packet_cost(side.flood, alone, seconds),
        "round_trips": (await case.load("round_trips"))["rate"],
        "connections": (await case.load("connections"))["rate"],
        "bulk_1_stream": await case.bulk(1),
    }
    check(side.stage)
    await side.gateway.check()
    return measured


class Comparison:
    """An empty gateway, one that is filled, the generator alone, and plain routing."""

    def __init__(self, plan: Plan, step: Step, size: Size, alone: Flood, routed: Handshakes) -> None:
        self._plan, self._step, self.size, self._alone, self._routed = plan, step, size, alone, routed
        self._handshakes = 0
        self.routed_rates: list[float] = []

    async def beside(self, full: Full, empty: Full, crowd: str) -> Beside:
        found = Beside()
        for number in range(self._plan.rounds):
            sides = [(full, empty, found.full, crowd), (empty, full, found.empty, "empty")]
            both = {}
            for side, other, _, what in sides if number % 2 else reversed(sides):
                self._step(f"{crowd}, round {number + 1}: {what}")
                with other.gateway.resting():
                    both[what] = await self._tried(side)
            if all(both.values()):
                for _, _, kept, what in sides:
                    for name, value in both[what].items():
                        kept[name].append(value)
        return found

    async def _tried(self, side: Full) -> Numbers:
        """A second time if it failed; nothing if that did, too."""
        for _ in range(2):
            try:
                return await numbers(side, self._alone, self._plan.seconds)
            except Failed as failure:
                print(f"bench: a case failed and does not count: {failure}", file=sys.stderr)
        return {}

    async def spread(self, full: Full) -> Figure:
        """A packet's cost where each is of another session, beside packets of few."""
        alone, own = self._alone, full.handshakes
        at_door = replace(own, source=alone.source, next_hop=alone.mac, sink=alone.sink, sink_device=alone.sink_device)
        costs: dict[int, list[float]] = {HOT: [], full.begun: []}
        for number in range(self._plan.rounds):
            self._step(f"packets of all sessions, round {number + 1}")
            for end, kept in costs.items():
                kept.append(await slices(*(partial(each.touch, 0, end, PROBED) for each in (own, at_door))))
        method = (
            f"As packet_cost, with packets of TCP: each of another one of {full.sessions:,} sessions, beside packets "
            f"that are all of {HOT:,} of them."
        )
        ours, theirs, other = costs[full.begun], costs[HOT], f"{HOT:,} of them"
        return compare("packet_cost_spread_10m_sessions", ours, "ns", method=method, other=other, theirs=theirs)

    async def fill(self, full: Full, chunks: int) -> None:
        chunk = self.size.sessions // CHUNKS
        for _ in range(chunks):
            self._step(f"{full.sessions:,} of {self.size.sessions:,} sessions")
            await full.add_sessions(chunk)
            first = self._handshakes
            self._handshakes += max(ROUTED, chunk // 10)
            self.routed_rates.append((await self._routed.open(first, self._handshakes))[1])


def steps(plan: Plan) -> int:
    return 2 + CHUNKS + (3 * 2 + 1) * plan.rounds


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    """Raises Failed where a gateway does not take what is put into it."""
    size = size_of(plan, free_memory())
    if size.sessions < plan.sessions:
        print(f"bench: memory for no more than {size}", file=sys.stderr)
    step(f"{min(ONE_ENDPOINT, size.sessions):,} sessions of one endpoint")
    made = list(await of_one_endpoint(min(ONE_ENDPOINT, size.sessions)))
    step(f"{size.endpoints:,} endpoints")
    async with AsyncExitStack() as stack:
        alone = await stack.enter_async_context(floor())
        routed = await stack.enter_async_context(routed_handshakes())
        comparison = Comparison(plan, step, size, alone, routed)
        empty, full = [await stack.enter_async_context(one(size.sessions + SPARE)) for _ in range(2)]
        await full.add_endpoints(size.endpoints)
        present = f"{size.endpoints:,} endpoints"
        made += (await comparison.beside(full, empty, "100k_endpoints")).figures("100k_endpoints", present)
        before = await full.gateway.memory()
        for crowd, chunks in (("1m_sessions", CHUNKS // 10), ("10m_sessions", CHUNKS - CHUNKS // 10)):
            await comparison.fill(full, chunks)
            present = str(Size(size.endpoints, full.sessions))
            made += (await comparison.beside(full, empty, crowd)).figures(crowd, present)
        made += [await comparison.spread(full)]
        grown = await full.gateway.memory() - before + await room_for(size.sessions)
        return [*made, *held(full, grown, comparison.routed_rates)]


def held(full: Full, memory: int, routed: Sequence[float]) -> Iterator[Figure]:
    spread = f"over {full.handshakes.targets:,} endpoints"
    yield compare(
        "sessions_held", [full.sessions], "sessions", method=f"Established {spread} and passing packets. {HANDSHAKE}."
    )
    method = "What the maps have locked for them, less what they lock with room for none; as a session's share."
    yield compare("sessions_memory", [memory / full.sessions], "bytes", method=method)
    method = (
        f"New sessions in a second of the one processor that does it all, {spread}, until all are there. {HANDSHAKE}. "
        "By plain routing the same generator has the same answers, and no session is kept."
    )
    yield compare("fill_rate", full.rates, "1/s", method=method, other="plain routing", theirs=routed)


async def of_one_endpoint(sessions: int) -> Sequence[Figure]:
    """Nothing, and word of it, where they do not stand."""
    where = f"Established through one endpoint with {SOURCES_OF_ONE} source addresses, to one port of one backend"
    method = f"{where}. {HANDSHAKE}."
    with TemporaryDirectory(prefix="sidegate-bench-") as directory:
        try:
            async with raised_full(Path(directory), sessions + SPARE, providers=1) as full:
                await full.gateway.put(endpoints(provider(0), FIRST_ADDRESS, 1, sources=SOURCES_OF_ONE))
                handshakes = full.handshakes_with(1, sources=SOURCES_OF_ONE)
                stand, _ = await handshakes.open(0, sessions)
                await handshakes.touch(0, sessions, PROBED)
        except Failed as failure:
            print(f"bench: one endpoint did not take {sessions:,} sessions: {failure}", file=sys.stderr)
            return []
    return [compare("sessions_of_an_endpoint", [stand], "sessions", method=method)]


@asynccontextmanager
async def one(sessions: int) -> AsyncIterator[Full]:
    with TemporaryDirectory(prefix="sidegate-bench-") as directory:
        async with raised_full(Path(directory), sessions) as full:
            yield full


@asynccontextmanager
async def routed_handshakes() -> AsyncIterator[Handshakes]:
    """By plain routing to the stage's server, where the same program answers."""
    with TemporaryDirectory(prefix="sidegate-bench-") as directory:
        async with raised(routing, Path(directory), bulk=False) as (stage, target):
            end_packets(stage.client)
            end_packets(stage.server)
            hop = stage.client.mac().hex(":")
            for address in consecutive(CLIENT):
                stage.gateway.ip("neighbour", "replace", address, "lladdr", hop, "dev", "client", "nud", "permanent")
            yield Handshakes(stage.client, next_hop(stage.client), stage.server, target, COUNT)


async def room_for(sessions: int) -> int:
    """Bytes that a gateway's maps take more with room for so many than for one."""
    taken = []
    with namespaces.make("gateway") as (namespace,), TemporaryDirectory(prefix="sidegate-bench-") as directory:
        for number in (sessions, 1):
            async with started(namespace, Path(directory) / "bpf", number) as gateway:
                taken.append(await gateway.memory())
    return taken[0] - taken[1]
