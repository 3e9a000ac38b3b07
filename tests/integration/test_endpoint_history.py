"""The endpoint service's past: endpoints, connections and cells' tables as they were, snapshots or none."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.common.eventsourcing.selection import Window
from services.common.history.keeper import SnapshotKeeper
from services.common.rpc.history import HistoryServicer
from services.common.rpc.server import RpcServer
from services.endpoint.application.past import PAST
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.events.v1 import forwarding_pb2 as forwarding_pb
from sidegate.client import Client
from sidegate.resources.history import When
from sidegate.resources.logs import LogName
from tests.integration.test_endpoint_feed import key, live_a_while, present
from tests.support import identity
from tests.support.endpoint_service import (
    CONSUMER,
    OPEN_SERVICE,
    PROVIDER,
    SERVICE,
    EndpointWorld,
    endpoint_world,
)
from tests.support.identity import Known
from tests.support.stores import LOGS


@dataclass(frozen=True, slots=True)
class Then:
    """What was shown: to the consumer, to the provider, and to gateways."""

    endpoints: list[endpoint_pb.Endpoint]
    connections: list[endpoint_pb.Connection]
    table: dict[str, forwarding_pb.ForwardingEntry]


async def now(world: EndpointWorld) -> Then:
    endpoints = (await world.app.endpoints.listed(CONSUMER, Window(1000))).items
    for endpoint in endpoints:  # what gateways say is not in the log
        endpoint.ClearField("ready")
        endpoint.ClearField("applied_generation")
        endpoint.ClearField("sources")
    pages = [await world.app.connections.listed(service, PROVIDER, Window(1000)) for service in (SERVICE, OPEN_SERVICE)]
    connections = [
        each for _, each in sorted((found for page in pages for found in page.rows), key=lambda found: found[0])
    ]
    snapshot = await world.app.feed.snapshot("default")
    return Then(endpoints, connections, present({key(entry): entry for entry in snapshot.entries()}))


async def then(operator: Client, when: When) -> Then:
    history = operator.history
    consumers = await history.project(LogName.ENDPOINT, CONSUMER.account, CONSUMER.project, when)
    providers = await history.project(LogName.ENDPOINT, PROVIDER.account, PROVIDER.project, when)
    table = {each.id: each.entry for each in (await history.cell("default", when)).states}
    return Then(
        [each.endpoint for each in consumers.states if each.kind == "endpoint"],
        [each.connection for each in providers.states if each.kind == "connection"],
        table,
    )


@asynccontextmanager
async def operating(world: EndpointWorld) -> AsyncIterator[Client]:
    server = RpcServer(identity.public(), [HistoryServicer(world.store, "endpoint", world.app.history, PAST).hosted()])
    address = await server.start()
    try:
        async with Known(address, address, account="operator", project="x") as client:
            yield client
    finally:
        await server.stop(0)


@pytest.mark.parametrize("database", LOGS)
async def test_endpoints_connections_and_tables_of_any_position_are_what_was_shown_then(
    database: str, tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    with LOGS[database](tmp_path) as where:
        async with endpoint_world(tmp_path, where=where) as world, operating(world) as operator:
            shown = dict[int, Then]()
            for step in range(16):
                await live_a_while(world, seed + step, steps=6)
                if position := (await world.store.head()).position:  # 0 would ask for now
                    shown[position] = await now(world)
            live = await now(world)
            await world.store.rebuild()
            assert await now(world) == live
            for every in (1_000, 7):
                await SnapshotKeeper(world.store, world.app.history, every).once()
                for position in sorted(shown, reverse=True):
                    assert await then(operator, When(position)) == shown[position]
