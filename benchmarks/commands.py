"""Durable commands by gRPC: real programs, TLS and tokens, the client in a process of its own."""

import os
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc

from benchmarks.crowd import ACCOUNT, crowded
from benchmarks.figures import Figure, compare, quantile
from benchmarks.plan import Plan, Step
from benchmarks.processes import Child, child, module
from benchmarks.store import IN_FLIGHT, store_appends
from services.common.eventsourcing.sql_store import SqlStore
from sidegate.access import Tokens
from sidegate.credentials import Credential
from tests.support import postgres
from tests.support.standalone import Standalone

ENDPOINTS = 1000
"""In the cell; OURS of them are renamed by turns."""

ECHO, BARE = "a gRPC echo", "bare appends"
DATABASES = ("sqlite", "postgresql")
WHERE = (
    "UpdateEndpoint with a new name and a request id, called through gRPC with TLS and a token by a process of its "
    "own, {} in flight at once, while NATS, registry, endpoint service and a gateway agent run as they always do, on "
    "the same two processors; each is durable when it is answered"
)
ECHOED = (
    f"{ECHO[0].upper()}{ECHO[1:]} is a program with the same TLS, token and messages that answers what it was asked; "
    f"{BARE} are the event store's own, in one process, of events that are durable as well"
)
CPU = (
    "What the endpoint service's process takes of a processor for a command with 64 in flight, its publishing to NATS "
    "included"
)

Numbers = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Client:
    """A process that calls one server."""

    process: Child
    server: int
    """The process that it calls."""

    async def calls(self, in_flight: int, seconds: float) -> Numbers:
        """Calls per second, the 99th percentile of their milliseconds, and the server's microseconds for each."""
        before = cpu_seconds(self.server)
        await self.process.tell(do="update", in_flight=in_flight, seconds=seconds)
        said = await self.process.hear()
        taken = cpu_seconds(self.server) - before
        return {"rate": said["rate"], "p99": quantile(said["took"], 0.99), "cpu": taken / len(said["took"]) * 1e6}


def cpu_seconds(pid: int) -> float:
    """Of a processor, that the process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def calling(sidegate: Standalone, ids: Sequence[str]) -> AsyncIterator[Child]:
    """A client of a running system's endpoint service, for the account that has those endpoints."""
    ready = sidegate.ready
    trusted = grpc.ssl_channel_credentials(sidegate.ca)
    tokens = Tokens(ready["registry"]["grpc"], Credential.read(Path(ready["credential"])), trusted)
    try:
        metadata = [("authorization", f"Bearer {await tokens.token()}"), ("sidegate-account", ACCOUNT)]
    finally:
        await tokens.close()
    async with child(module("benchmarks.caller")) as client:
        facts: Mapping[str, Any] = {"address": ready["endpoint"]["grpc"], "ca": sidegate.ca.decode()}
        await client.tell(**facts, metadata=metadata, ids=ids)
        await client.hear()
        yield client


@asynccontextmanager
async def echoing(ids: Sequence[str]) -> AsyncIterator[Client]:
    async with child(module("benchmarks.echo")) as server, child(module("benchmarks.caller")) as client:
        facts = await server.hear()
        await client.tell(**facts, ids=ids)
        await client.hear()
        yield Client(client, server.pid)


class Rounds:
    """What there was in each round: of Sidegate, of the echo, and appends per second of a bare store."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._ours: dict[int, list[Numbers]] = defaultdict(list)
        self._echo: dict[int, list[Numbers]] = defaultdict(list)
        self._bare: dict[int, list[float]] = defaultdict(list)

    async def take(self, ours: Client, echo: Client, store: SqlStore, seconds: float, numbers: Iterator[int]) -> None:
        for in_flight in IN_FLIGHT:
            self._ours[in_flight].append(await ours.calls(in_flight, seconds))
            self._echo[in_flight].append(await echo.calls(in_flight, seconds))
            self._bare[in_flight].append(await store_appends(store, numbers, in_flight, seconds / 2))

    def figures(self) -> Iterator[Figure]:
        for in_flight in IN_FLIGHT:
            name, method = f"commands_{in_flight}_{self._database}", f"{WHERE.format(in_flight)}. {ECHOED}."
            ours, echo, bare = self._ours[in_flight], self._echo[in_flight], self._bare[in_flight]
            rates = _each(ours, "rate")
            yield compare(name, rates, "1/s", method=method, other=ECHO, theirs=_each(echo, "rate"))
            yield compare(name, rates, "1/s", method=method, other=BARE, theirs=bare)
            theirs = _each(echo, "p99")
            yield compare(f"{name}_p99", _each(ours, "p99"), "ms", method=method, other=ECHO, theirs=theirs)
        taken, theirs = (_each(each[64], "cpu") for each in (self._ours, self._echo))
        name = f"commands_cpu_{self._database}"
        yield compare(name, taken, "µs", method=f"{CPU}. {ECHOED}.", other=ECHO, theirs=theirs)


def _each(rounds: Sequence[Numbers], what: str) -> list[float]:
    return [numbers[what] for numbers in rounds]


def steps(plan: Plan) -> int:
    return len(DATABASES) * (plan.rounds + 1)


async def measure(plan: Plan, step: Step, databases: Sequence[str] = DATABASES) -> Sequence[Figure]:
    return [figure for database in databases for figure in await _measured(database, plan, step)]


async def _measured(database: str, plan: Plan, step: Step) -> Sequence[Figure]:
    step(f"{database}: a system with {ENDPOINTS} endpoints")
    rounds, numbers = Rounds(database), count(1)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="sidegate-bench-")))
        logs = dict.fromkeys(("registry", "endpoint", "bare"), "")
        logs = {name: _log(database, name, directory, stack) for name in logs}
        store = await SqlStore.open(logs.pop("bare"))
        theirs = logs if database == "postgresql" else None
        async with crowded(directory, ENDPOINTS, theirs) as (sidegate, ids), calling(sidegate, ids) as client:
            ours = Client(client, sidegate.pid_of("endpoint"))
            async with echoing(ids) as echo:
                for number in range(plan.rounds):
                    step(f"{database}: round {number + 1}")
                    await rounds.take(ours, echo, store, plan.seconds, numbers)
        await store.close()
    return list(rounds.figures())


def _log(database: str, name: str, directory: Path, stack: ExitStack) -> str:
    if database == "sqlite":
        return str(directory / f"{name}.sqlite")
    return postgres.shared().url(stack.enter_context(postgres.database()))
