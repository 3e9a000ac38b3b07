"""A control-plane service while it runs: it serves, publishes its log, and draws conclusions, until told to end."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence

from services.common.config import ServiceSettings
from services.common.eventsourcing.sql_store import SqlStore
from services.common.messaging.connection import Connection, connect
from services.common.messaging.publisher import SubjectOf
from services.common.messaging.relay import Relay
from services.common.messaging.stream import Topic
from services.common.program import write_ready
from services.common.rpc.audit import AuditServicer
from services.common.rpc.server import Hosted, RpcServer
from sidegate.api.events.v1.log_pb2_grpc import add_AuditServiceServicer_to_server

Follower = Callable[[Connection], Awaitable[None]]
"""What runs once there is a connection to NATS."""


def audit_of(store: SqlStore, log: str) -> Hosted:
    servicer = AuditServicer(store, log)
    return Hosted(
        "sidegate.api.events.v1.AuditService", lambda server: add_AuditServiceServicer_to_server(servicer, server)
    )


async def host(
    settings: ServiceSettings,
    store: SqlStore,
    topic: Topic,
    subject_of: SubjectOf,
    *,
    hosted: Sequence[Hosted],
    upkeep: Callable[[], Awaitable[None]],
    follower: Follower,
) -> None:
    """Runs until cancelled. Serving does not wait for NATS: what is committed meanwhile is published later."""
    server = RpcServer(settings.listen, [*hosted, audit_of(store, topic.program)])
    try:
        address = await server.start()
        write_ready(settings.ready_file, {"grpc": address, "pid": os.getpid()})
        async with asyncio.TaskGroup() as parts:
            parts.create_task(_run(upkeep))
            parts.create_task(_talk(settings, store, topic, subject_of, follower))
    finally:
        await server.stop()
        await store.close()


async def _run(part: Callable[[], Awaitable[None]]) -> None:
    await part()


async def _talk(
    settings: ServiceSettings, store: SqlStore, topic: Topic, subject_of: SubjectOf, follower: Follower
) -> None:
    async with await connect(settings.nats_url.get_secret_value(), topic.program) as connection:
        relay = Relay(store, connection, topic, subject_of)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(relay.run())
            parts.create_task(_run(lambda: follower(connection)))
