"""Registry and endpoint service in one process, talking gRPC; each hears of the other by its log, without NATS."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc

from services.common.clock import now
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import Head, RecordedEvent
from services.common.hosting import audit_of
from services.common.identity.tokens import Verifier
from services.common.principal import SYSTEM, Principal
from services.common.rpc.server import Entrance, Hosted, RpcServer
from services.endpoint.__main__ import internal_of as endpoint_internal
from services.endpoint.__main__ import public_of as endpoint_public
from services.endpoint.application.flows import Flows
from services.endpoint.application.limits import Limits
from services.endpoint.application.service import EndpointApplication
from services.endpoint.application.streams import Streams
from services.endpoint.gateway_readers import GatewayReaders
from services.endpoint.policies import RegistryPolicy, Upkeep
from services.endpoint.projections import TABLE
from services.endpoint.registry_client import RegistryClient
from services.endpoint.token_trust import TokenTrust
from services.registry.__main__ import internal_of as registry_internal_parts
from services.registry.__main__ import public_of as registry_public
from services.registry.application.access import Access
from services.registry.application.names import LookUp, nowhere
from services.registry.application.registry import Registry
from services.registry.application.settings import Settings
from services.registry.endpoint_client import EndpointClient
from services.registry.policies import EndpointPolicy
from services.registry.projections import projections
from sidegate import transport
from sidegate.api.endpoint.v1 import endpoint_internal_service_pb2_grpc as internal_grpc
from sidegate.api.endpoint.v1 import endpoint_service_pb2_grpc as endpoint_grpc
from sidegate.api.gateway.v1 import gateway_service_pb2_grpc as gateway_grpc
from sidegate.api.registry.v1 import registry_service_pb2_grpc as registry_grpc
from tests.support import identity
from tests.support.registry_service import access_to, issued_by

DEADLINE = 60.0
"""Seconds until something has become true, on a machine that has much else to do."""

NOWHERE_ELSE: Mapping[str, str] = {}
STANDARD = Settings()
Q = TypeVar("Q")
A = TypeVar("A")


class Caller:
    """Stubs, and who speaks through them."""

    def __init__(self, registry: str, endpoint: str, account: str, project: str) -> None:
        access = identity.access_of(Principal(account, project))
        self._registry = transport.Caller(registry, access)
        self._endpoint = transport.Caller(endpoint, access)
        self.registry = registry_grpc.RegistryServiceStub(self._registry.channel)
        self.endpoints = endpoint_grpc.EndpointsServiceStub(self._endpoint.channel)
        self.connections = endpoint_grpc.ConnectionsServiceStub(self._endpoint.channel)
        self.internal = internal_grpc.EndpointInternalServiceStub(self._endpoint.channel)
        self.gateways = gateway_grpc.GatewayServiceStub(self._endpoint.channel)

    async def ask(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, A], request: Q) -> A:
        return await self._endpoint.ask(method, request)

    async def stream(self, method: grpc.aio.UnaryStreamMultiCallable[Q, A], request: Q) -> list[A]:
        return [answer async for answer in self._endpoint.stream(method, request)]

    async def close(self) -> None:
        await self._registry.close()
        await self._endpoint.close()


@dataclass
class TwoServices:
    registry_store: SqlStore
    endpoint_store: SqlStore
    application: EndpointApplication
    registry_servers: tuple[RpcServer, RpcServer]
    registry_address: str
    endpoint_address: str
    internal_addresses: tuple[str, str]
    callers: AsyncExitStack
    access: Access
    flows: list[tuple[str, bytes]]
    registry: Registry
    registry_client: RegistryClient

    def client(self, account: str) -> identity.Known:
        addresses = (self.registry_address, self.endpoint_address)
        return identity.Known(*addresses, account=account, project="live", timeout=30)

    def caller(self, account: str, project: str) -> Caller:
        addresses = (self.registry_address, self.endpoint_address)
        caller = Caller(*(self.internal_addresses if account == SYSTEM else addresses), account, project)
        self.callers.push_async_callback(caller.close)
        return caller


async def until(store: SqlStore, condition: Callable[[], Awaitable[bool]]) -> None:
    """Returns when the condition holds; it is asked again after every event of the store."""
    async with asyncio.timeout(DEADLINE):
        while True:
            position = (await store.head()).position
            if await condition():
                return
            await store.wait_beyond(position)


class Following:
    """A store's log, followed without NATS."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    async def head(self) -> Head:
        return await self._store.head()

    async def events(self, since: Head) -> AsyncGenerator[RecordedEvent, None]:
        after = since.position
        while True:
            await self._store.wait_beyond(after)
            for event in await self._store.read(after, 100):
                yield event
                after = event.position


@asynccontextmanager
async def running(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _start(stack: AsyncExitStack, entrance: Entrance, hosted: Sequence[Hosted]) -> tuple[RpcServer, str]:
    server = RpcServer(entrance, hosted)
    address = await server.start()
    stack.push_async_callback(server.stop, 0)
    return server, address


async def _open(stack: AsyncExitStack, store: Awaitable[SqlStore]) -> SqlStore:
    opened = await store
    stack.push_async_callback(opened.close)
    return opened


class LateEndpoints:
    """The endpoint service as the registry asks it, once its address is known."""

    client: EndpointClient

    async def known(self, endpoint_ids: Collection[str]) -> set[str]:
        return await self.client.known(endpoint_ids)

    async def blockers(self, service_id: str) -> list[str]:
        return list(await self.client.blockers(service_id))


@asynccontextmanager
async def two_services(
    path: Path,
    limits: Limits,
    databases: Mapping[str, str] = NOWHERE_ELSE,
    *,
    settings: Settings = STANDARD,
    look_up: LookUp = nowhere,
) -> AsyncIterator[TwoServices]:
    """`databases` are paths or URLs of the logs by program, if they are not in the directory."""
    async with AsyncExitStack() as stack:
        logs = {name: str(path / f"{name}.db") for name in ("registry", "endpoint")} | dict(databases)
        registry_store = await _open(
            stack, SqlStore.open(logs["registry"], projections=projections(), synchronous="NORMAL")
        )
        endpoint_store = await _open(stack, SqlStore.open(logs["endpoint"], projections=[TABLE], synchronous="NORMAL"))
        late = LateEndpoints()
        registry = Registry(registry_store, late, settings, look_up=look_up)
        access = await access_to(registry_store)
        audit = audit_of(registry_store, "registry")
        server, registry_address = await _start(
            stack,
            identity.public(verified_by=access.verifier),
            [*registry_public(registry, access, issued_by(registry)), audit],
        )
        internal_server, registry_internal = await _start(
            stack, identity.internal(), [*registry_internal_parts(registry, access), audit]
        )
        client = RegistryClient(registry_internal, identity.program("endpoint"))
        stack.push_async_callback(client.close)
        trust = TokenTrust(client)
        application = await EndpointApplication.open(endpoint_store, client, limits)
        public = endpoint_public(application, endpoint_store)
        _, endpoint_address = await _start(stack, identity.public(verified_by=Verifier(trust, trust.ended)), public)
        told: list[tuple[str, bytes]] = []

        async def publish(messages: Sequence[tuple[str, bytes]]) -> None:
            told.extend(messages)

        flows = Flows(Streams(endpoint_store), publish)
        parts = endpoint_internal(application, endpoint_store, limits, GatewayReaders(application.cells), flows)
        _, endpoint_internal_address = await _start(stack, identity.internal(), parts)
        late.client = EndpointClient(endpoint_internal_address, identity.program("registry"))
        stack.push_async_callback(late.client.close)
        upkeep = Upkeep(
            agenda=application.agenda,
            cells=application.cells,
            forwarding=application.forwarding,
            sources=application.sources,
            growth=application.growth,
            expiries=application.expiries,
        )
        for work in (
            upkeep.run(),
            RegistryPolicy(application.forwarding, trust).run(Following(registry_store)),
            EndpointPolicy(registry_store, registry.reservations, now).run(Following(endpoint_store)),
        ):
            await stack.enter_async_context(running(work))
        callers = await stack.enter_async_context(AsyncExitStack())
        yield TwoServices(
            registry_store,
            endpoint_store,
            application,
            (server, internal_server),
            registry_address,
            endpoint_address,
            (registry_internal, endpoint_internal_address),
            callers,
            access,
            told,
            registry,
            client,
        )
