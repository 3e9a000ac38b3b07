"""The HTTPS API beside the gRPC that it calls: the same list and the same create, by a client of either."""

import os
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc

from benchmarks.commands import cpu_seconds
from benchmarks.figures import Figure, compare, quantile
from benchmarks.plan import Plan, Step
from benchmarks.processes import Child, child, module
from sidegate.access import Tokens
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, PortMapping
from sidegate.credentials import Credential
from sidegate.project_ids import project_id
from tests.support.standalone import Standalone

IN_FLIGHT = (1, 16)
DOES = {"list": "a page of 10 endpoint services and their number", "create": "an endpoint service, durable"}
WAYS = ("https", "grpc")
UNBOUNDED = {
    "SIDEGATE_SERVICE_QUOTA": "-1",
    "SIDEGATE_RATE_PER_KEY": "100000",
    "SIDEGATE_RATE_PER_ADDRESS": "100000",
    "SIDEGATE_IN_FLIGHT_PER_KEY": "256",
}
GRPC = "the same by gRPC"
SERVICES = 10
WARMING, CREATES, MANY = 3, 40, 1_000_000
"""Calls at most; a project has fewer than 200 services, one page, at the end of a round."""

METHOD = (
    "{}, {} in flight at once, by the HTTPS API: signed as the SDK signs, on connections that are kept, TLS; the same "
    "client has it by gRPC from the registry, with TLS and a token. Client, HTTPS API, registry and all else share two "
    "processors"
)
CPU = "What the HTTPS API's process takes of a processor for one of them, with 16 in flight"

Numbers = Mapping[str, float]
Case = tuple[str, str, int]


def steps(plan: Plan) -> int:
    return plan.rounds + 1


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    step("a system with the HTTPS API")
    rounds: dict[Case, list[Numbers]] = defaultdict(list)
    with TemporaryDirectory(prefix="sidegate-bench-") as directory:
        async with _fronted(Path(directory)) as sidegate:
            for number in range(plan.rounds):
                step(f"round {number + 1}")
                async with _client(sidegate, f"front{number}") as client:
                    for way, do in product(WAYS, DOES):
                        await _calls(sidegate, client, (way, do, 1), plan.seconds, WARMING)
                    for do, in_flight, way in product(DOES, IN_FLIGHT, WAYS):
                        calls = CREATES if do == "create" else MANY
                        said = await _calls(sidegate, client, (way, do, in_flight), plan.seconds, calls)
                        rounds[way, do, in_flight].append(said)
    return list(_figures(rounds))


async def _calls(sidegate: Standalone, client: Child, case: Case, seconds: float, calls: int) -> Numbers:
    """Calls per second, the 99th percentile of their milliseconds, the HTTPS API's microseconds for each."""
    way, do, in_flight = case
    before = cpu_seconds(sidegate.pid_of("http_api"))
    await client.tell(way=way, do=do, in_flight=in_flight, seconds=seconds, calls=calls)
    said = await client.hear()
    taken = cpu_seconds(sidegate.pid_of("http_api")) - before
    return {"rate": said["rate"], "p99": quantile(said["took"], 0.99), "cpu": taken / len(said["took"]) * 1e6}


def _figures(rounds: Mapping[Case, Sequence[Numbers]]) -> Iterator[Figure]:
    for do, what in DOES.items():
        for in_flight in IN_FLIGHT:
            name, method = f"http_{do}_{in_flight}", f"{METHOD.format(what.capitalize(), in_flight)}."
            ours, theirs = (rounds[way, do, in_flight] for way in WAYS)
            for end, number, unit in (("", "rate", "1/s"), ("_p99", "p99", "ms")):
                mine, other = [each[number] for each in ours], [each[number] for each in theirs]
                yield compare(f"{name}{end}", mine, unit, method=method, other=GRPC, theirs=other)
        taken = [each["cpu"] for each in rounds["https", do, IN_FLIGHT[-1]]]
        yield compare(f"http_{do}_cpu", taken, "µs", method=f"{CPU}: {what}.")


@asynccontextmanager
async def _fronted(directory: Path) -> AsyncIterator[Standalone]:
    """A running system that hinders nobody."""
    before = dict(os.environ)
    os.environ.update(UNBOUNDED)
    try:
        async with Standalone(directory, http=True) as sidegate:
            yield sidegate
    finally:
        os.environ.clear()
        os.environ.update(before)


@asynccontextmanager
async def _client(sidegate: Standalone, account: str) -> AsyncIterator[Child]:
    """A client of a new account's."""
    async with child(module("benchmarks.front_caller")) as client:
        await client.tell(**await _facts(sidegate, account))
        await client.hear()
        yield client


async def _facts(sidegate: Standalone, account: str) -> Mapping[str, str]:
    async with sidegate.client("operator") as operator:
        made = (await operator.accounts.create(account)).key
    async with sidegate.client(account) as client:
        vpc = await client.vpcs.create("net", ["10.0.0.0/24"])
        subnet = await client.subnets.create("main", vpc.id, "10.0.0.0/24")
        port = await client.ports.create(subnet.id, "machine/web", "10.0.0.10")
        for number in range(SERVICES):
            mapping = PortMapping(client_port=80, server_port=80)
            await client.services.create(f"s{number}", vpc.id, [Backend(address="10.0.0.11")], [mapping])
    credential = Credential(account, "default", made.key.id, made.secret_key)
    address = sidegate.ready["registry"]["grpc"]
    tokens = Tokens(address, credential, grpc.ssl_channel_credentials(sidegate.ca))
    try:
        token = await tokens.token()
    finally:
        await tokens.close()
    return {
        "https": sidegate.https.removeprefix("https://"),
        "grpc": address,
        "ca": sidegate.ca.decode(),
        "access": made.key.id,
        "secret": made.secret_key,
        "token": token,
        "project_id": project_id(account, "default"),
        "vpc_id": vpc.id,
        "port_id": port.id,
    }
