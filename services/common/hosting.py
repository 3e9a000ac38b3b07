"""A control-plane service while it runs: it serves, publishes its log, and draws conclusions, until told to end."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from services.common.clock import now
from services.common.config import ServiceSettings
from services.common.eventsourcing.sql_store import SqlStore
from services.common.evidence.archive import Archive
from services.common.evidence.nats_witness import NatsWitness
from services.common.evidence.notary import Notary, Occasion
from services.common.history.history import History
from services.common.history.keeper import SnapshotKeeper
from services.common.history.past import Past
from services.common.log_metrics import LogNumbers
from services.common.messaging.connection import Connection, connect
from services.common.messaging.form import Form, SubjectOf
from services.common.messaging.relay import Relay
from services.common.messaging.stream import Topic
from services.common.program import write_ready
from services.common.rpc.audit import LIMITS, AuditServicer
from services.common.rpc.health import Health, StoreHealth
from services.common.rpc.history import HistoryServicer
from services.common.rpc.server import Hosted, RpcServer
from services.common.rpc.status import Progress, StatusServicer
from services.common.telemetry.exposition import exposed
from services.common.telemetry.metrics import REGISTRY
from services.common.watching.limits import WatchLimits
from sidegate.api.events.v1.history_pb2 import ResourceState
from sidegate.api.events.v1.log_pb2_grpc import add_AuditServiceServicer_to_server

VIEWS_GATHER_SECONDS = 0.05
"""Views wait for so long, so that what gateways wait for is published first; some of them then go together."""

Follower = Callable[[Connection], Coroutine[Any, Any, None]]
"""What runs once there is a connection to NATS."""


def notary_of(settings: ServiceSettings, store: SqlStore, log: str) -> Notary | None:
    """Who signs the log's heads; nobody where the settings name no place for evidence. Raises Unfit."""
    if settings.evidence is None:
        return None
    archive = Archive(settings.evidence)
    return Notary(store, log, archive, archive.open(), clock=now, occasion=Occasion())


def audit_of(store: SqlStore, log: str, notary: Notary | None = None, limits: WatchLimits = LIMITS) -> Hosted:
    servicer = AuditServicer(store, log, notary, limits)
    return Hosted(
        "sidegate.api.events.v1.AuditService",
        lambda server: add_AuditServiceServicer_to_server(servicer, server),
        servicer.watching.close,
    )


def watch_limits(settings: ServiceSettings) -> WatchLimits:
    return WatchLimits(
        history=settings.watch_history, in_all=settings.watchers, per_account=settings.watchers_per_account
    )


async def host(
    settings: ServiceSettings,
    store: SqlStore,
    topic: Topic,
    subject_of: SubjectOf,
    *,
    views: tuple[Topic, Form],
    hosted: Sequence[Hosted],
    past: tuple[History, Past[ResourceState]],
    upkeep: Callable[[], Coroutine[Any, Any, None]],
    follower: Follower,
) -> None:
    """Runs until cancelled. Serving does not wait for NATS: what is committed meanwhile is published later.

    The log is published twice: as it is for our own programs, and as `views` for those of the projects. Its `past` can
    be asked for, of which snapshots are kept.
    """
    try:
        notary, witness = notary_of(settings, store, topic.program), NatsWitness()

        async def follow(connection: Connection) -> None:
            witness.connected(connection)
            await follower(connection)

        numbers = LogNumbers(store)
        status = StatusServicer(topic.program, lambda: Progress(store.position, numbers.lag))
        audit = audit_of(store, topic.program, notary, watch_limits(settings))
        history = HistoryServicer(store, topic.program, *past)
        server = RpcServer(settings.listen, [*hosted, audit, history.hosted(), status.hosted()])
        proof = StoreHealth(store)
        health = status.health = Health(server, [proof.difficulty])
        REGISTRY.register(numbers)
        try:
            async with exposed(settings.metrics) as metrics:
                status.metrics = metrics
                address = await server.start(serving=False)
                await health.look()
                write_ready(settings.ready_file, {"grpc": address, "metrics": metrics, "pid": os.getpid()})
                async with asyncio.TaskGroup() as parts:
                    parts.create_task(health.run())
                    parts.create_task(upkeep())
                    parts.create_task(SnapshotKeeper(store, past[0]).run())
                    parts.create_task(
                        _talk(settings, store, (topic, subject_of), views=views, follower=follow, numbers=numbers)
                    )
                    if notary is not None:
                        parts.create_task(notary.run([witness]))
        finally:
            REGISTRY.unregister(numbers)
            await server.stop()
            await proof.close()
    finally:
        await store.close()


async def _talk(
    settings: ServiceSettings,
    store: SqlStore,
    published: tuple[Topic, SubjectOf],
    *,
    views: tuple[Topic, Form],
    follower: Follower,
    numbers: LogNumbers,
) -> None:
    async with await connect(settings.nats_url.get_secret_value(), published[0].program) as connection:
        relay = numbers.relay = Relay(store, connection, *published)
        telling = Relay(store, connection, *views, gather=VIEWS_GATHER_SECONDS)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(relay.run())
            parts.create_task(telling.run())
            parts.create_task(follower(connection))
