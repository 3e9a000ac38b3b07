"""Many endpoints of one project at once, by way of the log: decided and stored by the same code as those of callers.

Nobody has decided on them, so that gateways have nothing to do. The registry has no addresses reserved for them.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import islice
from pathlib import Path

from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.decision import decide
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import Append, NoStream
from services.common.rpc.records import event_meta
from services.endpoint.application.sources import random_marker
from services.endpoint.application.streams import Streams
from services.endpoint.domain.endpoint import Absent
from services.endpoint.domain.endpoint_commands import Request
from services.endpoint.domain.endpoint_decisions import ENDPOINT
from services.endpoint.domain.facts import Facts
from services.endpoint.projections import TABLE
from services.endpoint.wire.endpoint import EndpointCodec
from services.endpoint.wire.stored import endpoint_stream
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend
from sidegate.api.registry.v1.vpc_pb2 import NetnsTarget
from sidegate.credentials import Credential
from tests.support.standalone import Standalone
from tests.support.world import tcp

TOGETHER = 256
FIRST = IPv4Address("10.64.0.1")
"""Behind the range of the subnet that is really there."""


@asynccontextmanager
async def crowded_console(directory: Path, number: int) -> AsyncIterator[tuple[Standalone, Credential]]:
    """A running Sidegate with a console and no gateway, and the key of a project that has so many endpoints in it: they
    are called "number-00001" and so on, and wait for acceptance.
    """
    sidegate = Standalone(directory, rootless=True, console=True, environment={"SIDEGATE_ENDPOINT_QUOTA": "-1"})
    async with sidegate:
        key = Credential.of(sidegate.answer("account", "create", "crowd"))
        first = await _first(sidegate, key)
    store = await SqlStore.open(sidegate.database("endpoint"), projections=[TABLE], program="endpoint")
    try:
        await _fill(store, first, number)
    finally:
        await store.close()
    async with sidegate:
        yield sidegate, key


async def _first(sidegate: Standalone, key: Credential) -> str:
    """An endpoint as callers make one."""
    async with sidegate.client(key.account) as client, sidegate.client("operator") as operator:
        vpc = await client.vpcs.create("net", ["10.0.0.0/16"])
        subnet = await client.subnets.create("main", vpc.id, "10.0.0.0/24")
        await operator.attachments.create(vpc.id, NetnsTarget(namespace="crowd"))
        service = await client.services.create(
            "web", vpc.id, [Backend(address="10.0.0.10")], [tcp(80, 8080)], approval_required=True
        )
        return (await client.endpoints.create(service.id, subnet.id, name="number-00001")).id


async def _fill(store: SqlStore, first: str, number: int) -> None:
    state, _ = await Streams(store).endpoints.load(endpoint_stream(first))
    assert not isinstance(state, Absent)
    facts = _facts(state.facts, number)
    while some := list(islice(facts, TOGETHER)):
        await asyncio.gather(*(store.append(_requested(each)) for each in some))


def _facts(like: Facts, number: int) -> Iterator[Facts]:
    for place in range(2, number + 1):
        id_ = str(uuid.uuid4())
        yield replace(
            like,
            id=id_,
            name=f"number-{place:05}",
            address=FIRST + place,
            port=id_,
            marker=random_marker(),
            created_at=time.time_ns(),
        )


def _requested(facts: Facts) -> Append:
    decided = decide(ENDPOINT, Request(facts, approval_required=True), ENDPOINT.initial)
    codec, context = EndpointCodec(), CommandContext(facts.owner, facts.created_at, method="CreateEndpoint")
    return Append(
        stream=endpoint_stream(facts.id),
        expected=NoStream(),
        events=[codec.encode(event, state) for event, state in decided.events],
        at=facts.created_at,
        partition=codec.partition(decided.state),
        meta=event_meta(context),
        constraints=decided.constraints,
    )
