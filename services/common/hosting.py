"""A control-plane service while it runs: it serves, publishes its log, and draws conclusions, until told to end."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
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
from services.common.identity.access_log import AccessLog
from services.common.identity.certificates import Certificates
from services.common.identity.tokens import Verifier
from services.common.log_metrics import LogNumbers
from services.common.messaging.connection import Connection
from services.common.messaging.form import Form, SubjectOf
from services.common.messaging.relay import Relay
from services.common.messaging.stream import Topic
from services.common.program import write_ready
from services.common.rpc.audit import LIMITS, AuditServicer
from services.common.rpc.auth import Doorman
from services.common.rpc.health import Health, StoreHealth
from services.common.rpc.history import HistoryServicer
from services.common.rpc.recognition import Bearers, Programs
from services.common.rpc.server import Entrance, Hosted, RpcServer
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


def audit_of(
    store: SqlStore,
    log: str,
    notary: Notary | None = None,
    limits: WatchLimits = LIMITS,
    refused: AccessLog | None = None,
) -> Hosted:
    servicer = AuditServicer(store, log, notary, limits, refused)
    return Hosted(
        "sidegate.api.events.v1.AuditService",
        lambda server: add_AuditServiceServicer_to_server(servicer, server),
        servicer.watching.close,
    )


def watch_limits(settings: ServiceSettings) -> WatchLimits:
    return WatchLimits(
        history=settings.watch_history, in_all=settings.watchers, per_account=settings.watchers_per_account
    )


@dataclass(frozen=True, slots=True)
class Interfaces:
    """What a service answers to whoever has a token, and what to programs with a certificate of theirs."""

    public: Sequence[Hosted]
    internal: Sequence[Hosted]
    verifier: Verifier


class Servers:
    """The two servers of a service, each at an entrance of its own."""

    def __init__(self, public: RpcServer, internal: RpcServer) -> None:
        self._public, self._internal = public, internal

    async def start(self) -> dict[str, str]:
        """Their addresses, as a ready file names them. Raises CannotListen."""
        public = await self._public.start(serving=False)
        return {"grpc": public, "internal": await self._internal.start(serving=False)}

    async def tell_health(self, *, serving: bool) -> None:
        await self._public.tell_health(serving=serving)
        await self._internal.tell_health(serving=serving)

    async def stop(self) -> None:
        await asyncio.gather(self._public.stop(), self._internal.stop())


def servers_of(
    settings: ServiceSettings, interfaces: Interfaces, refused: AccessLog, everywhere: Sequence[Hosted]
) -> Servers:
    """Raises NoCertificate."""
    certificates = Certificates(settings.tls)
    bearers, programs = Bearers(interfaces.verifier), Programs(settings.region)
    public = Entrance(settings.listen, Doorman(bearers, refused), certificates)
    internal = Entrance(settings.internal_listen, Doorman(programs, refused), certificates, programs_only=True)
    return Servers(
        RpcServer(public, [*interfaces.public, *everywhere]), RpcServer(internal, [*interfaces.internal, *everywhere])
    )


async def host(
    settings: ServiceSettings,
    store: SqlStore,
    topic: Topic,
    subject_of: SubjectOf,
    *,
    views: tuple[Topic, Form],
    interfaces: Interfaces,
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
        nats = Connection(settings.nats_url, topic.program, settings.nats_user)

        async def follow(connection: Connection) -> None:
            witness.connected(connection)
            await follower(connection)

        numbers = LogNumbers(store)
        status = StatusServicer(topic.program, lambda: Progress(store.position, numbers.lag))
        refused = AccessLog(settings.access_log)
        audit = audit_of(store, topic.program, notary, watch_limits(settings), refused)
        history = HistoryServicer(store, topic.program, *past)
        shared = [audit, history.hosted(), status.hosted()]
        server = servers_of(settings, interfaces, refused, shared)
        proof = StoreHealth(store)
        health = status.health = Health(server, [proof.difficulty])
        REGISTRY.register(numbers)
        try:
            async with exposed(settings.metrics) as metrics:
                status.metrics = metrics
                addresses = await server.start()
                await health.look()
                write_ready(settings.ready_file, {**addresses, "metrics": metrics, "pid": os.getpid()})
                async with asyncio.TaskGroup() as parts:
                    parts.create_task(health.run())
                    parts.create_task(upkeep())
                    parts.create_task(SnapshotKeeper(store, past[0]).run())
                    parts.create_task(
                        _talk(nats, store, (topic, subject_of), views=views, follower=follow, numbers=numbers)
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
    connection: Connection,
    store: SqlStore,
    published: tuple[Topic, SubjectOf],
    *,
    views: tuple[Topic, Form],
    follower: Follower,
    numbers: LogNumbers,
) -> None:
    async with connection:
        await connection.open()
        relay = numbers.relay = Relay(store, connection, *published)
        telling = Relay(store, connection, *views, gather=VIEWS_GATHER_SECONDS)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(relay.run())
            parts.create_task(telling.run())
            parts.create_task(follower(connection))
