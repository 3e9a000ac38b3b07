"""What it costs to have many endpoints: Get and List where few and where many are stored, and the programs' memory."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.commands import calling, cpu_seconds
from benchmarks.crowd import OURS, crowded
from benchmarks.figures import Figure, compare_quantiles, rounded
from benchmarks.plan import Plan, Step
from benchmarks.processes import Child, Failed
from services.common.messaging.connection import connect
from services.common.messaging.views import ENDPOINT_VIEWS
from services.endpoint.wire.views import VIEWS
from sidegate.resources.logs import LogName
from tests.support.standalone import Standalone, until

FEW = 1000
"""Endpoints that growth is measured from."""

CALLS = ("get", "list")
IN_A_ROW = 10
"""Calls of one kind to one system, then it is the other's turn."""

PATIENCE = 900
"""Seconds for a gateway to take a whole table in, and for NATS to be told of everything."""

QUIET, QUIET_SECONDS = 0.15, 3.0
"""Of a processor, and for so long: what a service takes that has nothing to do."""

MIB = 1 << 20
PER = 100_000
SYSTEMS = (
    f"Two whole systems run side by side, each in one terminal, with {FEW:,} and with 100,000 endpoints (fewer with "
    "--quick) in their one cell, all of them accepted, forwarded by a real gateway, and in the log by the events that "
    "commands leave"
)
METHODS = {
    "get": "GetEndpoint through gRPC, with TLS and a token, by a process of its own, one after another",
    "list": f"ListEndpoints, the first page of 100 of a project that has {OURS}, likewise",
    "endpoint": "Resident memory of the endpoint service's process: what 100,000 more endpoints add to it",
    "gateway": "Resident memory of the gateway agent's process: what 100,000 more endpoints add to it",
}


class Samples:
    """Milliseconds of each call, by what was called and how many endpoints there were."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, int], list[float]] = defaultdict(list)

    async def take(self, clients: Mapping[int, Child], calls: int) -> None:
        for what in CALLS:
            for endpoints, client in clients.items():
                await client.tell(do=what, in_flight=1, calls=calls)
                self._taken[what, endpoints] += (await client.hear())["took"]

    def figures(self, many: int) -> Iterator[Figure]:
        for what in CALLS:
            for quantile, share in (("p50", 0.5), ("p99", 0.99)):
                ours, theirs = self._taken[what, many], self._taken[what, FEW]
                name, method, other = f"stored_{what}_{quantile}", f"{METHODS[what]}. {SYSTEMS}.", f"{FEW:,} stored"
                yield compare_quantiles(name, share, ours, "ms", method=method, other=other, theirs=theirs)


def resident(sidegate: Standalone, program: str) -> int:
    """Bytes of a program's memory that are there now."""
    for line in Path(f"/proc/{sidegate.pid_of(program)}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise Failed(f"the {program} has ended")


async def settled(sidegate: Standalone) -> None:
    """The gateway has all of the log in its table, and everything is published."""
    async with sidegate.client("operator") as operator:
        head = await operator.audit.log(LogName.ENDPOINT).head()

        async def forwarded() -> bool:
            status = await operator.gateway.status()
            return status.in_sync and status.position >= head.position

        await until("the gateway's table", forwarded, PATIENCE)

    url, user = f"nats://{sidegate.ready['nats']['address']}", sidegate.nats_anybody()
    async with await connect(url, "stored", user) as connection:
        stream = ENDPOINT_VIEWS.stream(head.epoch)

        async def published() -> bool:
            """Views are published after the log."""
            info = await connection.client.jetstream().stream_info(stream)
            return info.state.last_seq >= head.position * VIEWS.messages

        await until("everything to be published", published, PATIENCE)

    async def reported() -> bool:
        """Nothing tells that a gateway has reported of every endpoint, but that there is nothing more to do."""
        before = cpu_seconds(sidegate.pid_of("endpoint"))
        await asyncio.sleep(QUIET_SECONDS)
        return cpu_seconds(sidegate.pid_of("endpoint")) - before < QUIET * QUIET_SECONDS

    await until("the gateway to have reported", reported, PATIENCE)


def memory(few: Standalone, many: Standalone, endpoints: int) -> Iterator[Figure]:
    for program in ("endpoint", "gateway"):
        more = (resident(many, program) - resident(few, program)) / (endpoints - FEW) * PER / MIB
        yield Figure(f"stored_memory_{program}", rounded(more), "MiB", "", None, 1, f"{METHODS[program]}. {SYSTEMS}.")


def steps(plan: Plan) -> int:
    return plan.samples // IN_A_ROW + 2


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    samples, endpoints = Samples(), plan.events // 10
    async with AsyncExitStack() as stack:
        systems: dict[int, Standalone] = {}
        clients: dict[int, Child] = {}
        for number in (FEW, endpoints):
            step(f"a system with {number:,} endpoints")
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="sidegate-bench-")))
            systems[number], ids = await stack.enter_async_context(crowded(directory, number))
            clients[number] = await stack.enter_async_context(calling(systems[number], ids))
            await settled(systems[number])
        found = list(memory(systems[FEW], systems[endpoints], endpoints))
        await samples.take(clients, IN_A_ROW)  # what is made at the first call is not what a call costs
        samples = Samples()
        for _ in range(plan.samples // IN_A_ROW):
            step("get and list")
            await samples.take(clients, IN_A_ROW)
    return [*samples.figures(endpoints), *found]
