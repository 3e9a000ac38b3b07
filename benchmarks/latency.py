"""From a call to the first byte, from a commit to an agent, from a deletion to a free address: the whole system.

Every command is taken beside a floor: the least that any such system must do, one after another, by the same client.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
from grpc_health.v1 import health_pb2
from nats.aio.client import Client as Nats

from benchmarks.compiled import load
from benchmarks.figures import Figure, compare_quantiles
from benchmarks.follower import SUBJECT
from benchmarks.paths import routing
from benchmarks.plan import Plan, Step
from benchmarks.processes import Child, child, module
from benchmarks.stage import LOAD_PORT, Stage, raised
from services.common.messaging.connection import connect
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.errors import SidegateError
from sidegate.resources.logs import LogName
from tests.support import namespaces
from tests.support.namespaces import Namespace
from tests.support.standalone import Standalone
from tests.support.world import MACHINE, Site, site

PATIENCE = 20
"""Seconds for a first byte to come."""

ADDRESSES = range(20, 220)
PAGE = bytes(4096)

STANDALONE = "Sidegate in one terminal (standalone, SQLite, its own NATS) on one machine, one command after another"
FIRST_BYTE = (
    "until one byte has come back from the server, tried by a new TCP connection every 0.5 ms from a client whose "
    "neighbour table was emptied"
)
METHODS = {
    "create_to_first_byte": f"From calling CreateEndpoint (no approval) {FIRST_BYTE}",
    "accept_to_first_byte": f"From calling AcceptConnection {FIRST_BYTE}",
    "delete_to_address_free": "From calling DeleteEndpoint until CreatePort is given the address, asked without pause",
    "commit_to_agent": (
        "From the moment an event is handed to the log until a process that follows it over NATS as an agent does has "
        "it, the commit to disk included"
    ),
}
CALL = "a gRPC health check, then 4 KiB written and synced"
FLOORS = {
    "create_to_first_byte": f"{CALL}, then a first byte by plain routing",
    "accept_to_first_byte": f"{CALL}, then a first byte by plain routing",
    "delete_to_address_free": f"{CALL}",
    "commit_to_agent": "4 KiB written and synced, then a plain NATS message",
}


@dataclass(slots=True)
class Samples:
    """Milliseconds of the system and of the floor, taken by turns."""

    ours: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)


def milliseconds_since(began: int) -> float:
    return (time.monotonic_ns() - began) / 1e6


class Floor:
    """What any system would have to do at the least."""

    def __init__(self, file: int, channel: grpc.aio.Channel, route: Stage, target: str) -> None:
        self._file, self._route, self._target = file, route, target
        self._check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    async def call(self) -> float:
        """A call that makes something durable. Milliseconds, as for the others."""
        began = time.monotonic_ns()
        await self._check(health_pb2.HealthCheckRequest())
        await self.sync()
        return milliseconds_since(began)

    async def sync(self) -> None:
        await asyncio.to_thread(self._write)

    def _write(self) -> None:
        os.write(self._file, PAGE)
        os.fdatasync(self._file)

    async def first_byte(self) -> float:
        called = await self.call()
        async with trying(self._route.client, self._target, LOAD_PORT) as client:
            return called + float((await client.hear())["took"])


@asynccontextmanager
async def trying(namespace: Namespace, address: str, port: int) -> AsyncIterator[Child]:
    """A client that tries to have a byte from there, and is at it already."""
    namespace.ip("neigh", "flush", "all")
    async with child((load(), "first_byte", address, str(port), str(PATIENCE)), namespace=namespace) as client:
        await client.hear()
        yield client


class Commands:
    """What is measured of a running system: each method is one sample, in milliseconds."""

    def __init__(self, consumer: Site, provider: Site, services: Sequence[EndpointService], floor: Floor) -> None:
        self._consumer, self._provider = consumer, provider
        self._open, self._approved = services
        self._floor = floor
        self.samples = {name: Samples() for name in METHODS}

    async def create(self, address: str) -> str:
        endpoints = self._consumer.client.endpoints
        async with trying(self._consumer.namespace, address, 80) as client:
            began = time.monotonic_ns()
            made = await endpoints.create(service=self._open.id, subnet_id=self._consumer.subnet_id, address=address)
            heard = await client.hear()
        self._note("create_to_first_byte", (heard["at"] - began) / 1e6, await self._floor.first_byte())
        return made.id

    async def accept(self, address: str) -> str:
        endpoints, connections = self._consumer.client.endpoints, self._provider.client.connections
        where = self._consumer.subnet_id
        made = await endpoints.create(service=self._approved.id, subnet_id=where, address=address)
        async with trying(self._consumer.namespace, address, 80) as client:
            began = time.monotonic_ns()
            await connections.accept(self._approved.id, made.id)
            heard = await client.hear()
        self._note("accept_to_first_byte", (heard["at"] - began) / 1e6, await self._floor.first_byte())
        return made.id

    async def delete(self, endpoint: str, address: str) -> None:
        ports = self._consumer.client.ports
        began = time.monotonic_ns()
        await self._consumer.client.endpoints.delete(endpoint)
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(SidegateError):
                    port = await ports.create(self._consumer.subnet_id, "machine/next", address)
                    break
        took = milliseconds_since(began)
        await ports.delete(port.id)
        self._note("delete_to_address_free", took, await self._floor.call())

    async def standing(self, address: str) -> str:
        """An endpoint that packets pass; no sample."""
        made = await self._consumer.request(self._open, address)
        return (await self._consumer.accepted(made)).id

    async def change(self, endpoint: str, follower: Child, plain: Nats, number: int) -> None:
        """A whitelist that changes, and what follows from it at the agent."""
        allowed = [] if number % 2 else [f"{MACHINE}/32"]
        await self._consumer.client.endpoints.update(endpoint, allowed_cidrs=allowed)
        ours = float((await follower.hear_of("late"))["late"])
        moment = time.time_ns()
        await self._floor.sync()
        await plain.publish(SUBJECT, str(moment).encode())
        self._note("commit_to_agent", ours, float((await follower.hear_of("plain"))["plain"]))

    def _note(self, name: str, ours: float, floor: float) -> None:
        self.samples[name].ours.append(ours)
        self.samples[name].floor.append(floor)


def address(number: int) -> str:
    return f"10.0.0.{ADDRESSES[number % len(ADDRESSES)]}"


async def published(provider: Site, consumer: Site) -> Sequence[EndpointService]:
    """Two services with the same backend: one that lets everybody in, and one whose owner decides."""
    made = [await provider.publish(name, approval=name == "approved") for name in ("open", "approved")]
    for service in made:
        await provider.client.services.permit(service.id, [f"iam:domain::{consumer.account}"])
    return made


@asynccontextmanager
async def following(sidegate: Standalone) -> AsyncIterator[tuple[Child, Nats]]:
    """A follower of the endpoint service's log from now on, and a connection that sends plain messages to it."""
    url, user = f"nats://{sidegate.ready['nats']['address']}", sidegate.nats_anybody()
    async with sidegate.client("operator") as operator:
        head = await operator.audit.log(LogName.ENDPOINT).head()
    async with child(module("benchmarks.follower")) as follower:
        await follower.tell(nats=url, user=str(user), after=head.position)
        await follower.hear()
        async with await connect(url, "plain", user) as plain:
            yield follower, plain.client


@asynccontextmanager
async def system(directory: Path) -> AsyncIterator[tuple[Standalone, Commands]]:
    async with contextlib.AsyncExitStack() as stack:
        route, target = await stack.enter_async_context(raised(routing, directory, bulk=False))
        spaces = stack.enter_context(namespaces.make("consumer", "provider"))
        sidegate = await stack.enter_async_context(Standalone(directory))
        consumer, provider = [
            await stack.enter_async_context(site(sidegate, name, space))
            for name, space in zip(("consumer", "provider"), spaces, strict=True)
        ]
        server = child((load(), "serve", MACHINE, "8080"), namespace=provider.namespace)
        await (await stack.enter_async_context(server)).hear()
        trusted = grpc.ssl_channel_credentials(sidegate.ca)
        secure = grpc.aio.secure_channel(sidegate.ready["registry"]["grpc"], trusted)
        channel = await stack.enter_async_context(secure)
        file = os.open(directory / "floor", os.O_CREAT | os.O_WRONLY)
        stack.callback(os.close, file)
        floor = Floor(file, channel, route, target)
        yield sidegate, Commands(consumer, provider, await published(provider, consumer), floor)


def steps(plan: Plan) -> int:
    return 3 * plan.samples


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    with TemporaryDirectory(prefix="sidegate-bench-") as directory:
        async with system(Path(directory)) as (sidegate, commands):
            for name, make in (("create", commands.create), ("accept", commands.accept)):
                for number in range(plan.samples):
                    step(f"{name} and delete, {number + 1} of {plan.samples}")
                    endpoint = await make(address(number))
                    await commands.delete(endpoint, address(number))
            endpoint = await commands.standing(address(0))
            async with following(sidegate) as (follower, plain):
                for number in range(plan.samples):
                    step(f"change, {number + 1} of {plan.samples}")
                    await commands.change(endpoint, follower, plain, number)
    return [figure for name in METHODS for figure in figures(name, commands.samples[name])]


def figures(name: str, samples: Samples) -> Sequence[Figure]:
    method = f"{METHODS[name]}. {STANDALONE}."
    return [
        compare_quantiles(
            f"{name}_{quantile}", share, samples.ours, "ms", method=method, other=FLOORS[name], theirs=samples.floor
        )
        for quantile, share in (("p50", 0.5), ("p99", 0.99))
    ]
