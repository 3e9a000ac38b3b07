"""The endpoint service in a test: a real store, a registry that does as it is told, a clock that is set."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from services.common.addressing import Network, networks_of
from services.common.clock import SECOND
from services.common.errors import AlreadyExists, NotFound
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.sql_store import SqlStore
from services.common.principal import Principal
from services.endpoint.application.limits import Limits
from services.endpoint.application.registry import PublishedService, Reservation, Sources, Tables
from services.endpoint.application.requests import Wanted
from services.endpoint.application.service import EndpointApplication
from services.endpoint.domain.endpoint_commands import Accept, Change, Delete, Reject
from services.endpoint.domain.forwarding import Backend, PortMapping, Protocol
from services.endpoint.domain.presence import Presence, Statement
from services.endpoint.domain.routes import Place
from services.endpoint.domain.targets import Netns
from services.endpoint.policies import Upkeep
from services.endpoint.projections import TABLE
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.registry.v1 import registry_internal_service_pb2 as internal_pb

CONSUMER = Principal("shop-account", "shop")
PROVIDER = Principal("payments-account", "payments")
STRANGER = Principal("stranger-account", "stranger")
SHOP_VPC = "11111111-1111-4111-8111-111111111111"
PAYMENTS_VPC = "22222222-2222-4222-8222-222222222222"
SUBNET = "33333333-3333-4333-8333-333333333333"
SERVICE = "44444444-4444-4444-8444-444444444444"
DEFAULT_TABLE = "66666666-6666-4666-8666-666666666661"
PRIVATE_TABLE = "66666666-6666-4666-8666-666666666662"
EMPTY_TABLE = "66666666-6666-4666-8666-666666666663"
OPEN_SERVICE = "55555555-5555-4555-8555-555555555555"


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


def published(id_: str, *, approval_required: bool = False) -> PublishedService:
    return PublishedService(
        id=id_,
        full_name=f"local.payments.{id_}",
        owner=PROVIDER,
        vpc=PAYMENTS_VPC,
        version=2,
        backends=(Backend(IPv4Address("10.0.0.10")),),
        ports=(PortMapping(80, 8080, Protocol.TCP),),
        approval_required=approval_required,
    )


@dataclass
class FakeRegistry:
    """The registry as the endpoint service meets it.

    The next call of a method fails as `refusals` says, before it does anything; as `failpoints` says, afterwards.
    """

    services: dict[str, PublishedService] = field(
        default_factory=lambda: {
            SERVICE: published(SERVICE, approval_required=True),
            OPEN_SERVICE: published(OPEN_SERVICE),
        }
    )
    targets: dict[tuple[str, str], Netns] = field(
        default_factory=lambda: {
            (SHOP_VPC, "default"): Netns("shop", "sidegate0"),
            (PAYMENTS_VPC, "default"): Netns("payments", "sidegate0"),
        }
    )
    held: dict[str, IPv4Address] = field(default_factory=dict)
    tables_there: dict[str, tuple[Network, ...]] = field(
        default_factory=lambda: {
            DEFAULT_TABLE: networks_of(("10.0.0.0/25",)),
            PRIVATE_TABLE: networks_of(("10.0.0.128/26", "10.0.0.192/26")),
            EMPTY_TABLE: (),
        }
    )
    holds: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refusals: dict[str, Exception] = field(default_factory=dict)
    failpoints: dict[str, BaseException] = field(default_factory=dict)
    questions: int = 0

    async def reserve(
        self,
        *,
        endpoint: str,
        owner: Principal,
        service: str,
        place: Place,
        validate_only: bool = False,
    ) -> Reservation:
        self._refuse("reserve")
        found = self.services.get(service)
        if found is None or found.gone or owner.account not in (CONSUMER.account, PROVIDER.account):
            raise NotFound("endpoint service", service)
        if found.public_prefixes:
            return self._routed(endpoint, found, place)
        if place.subnet != SUBNET:
            raise NotFound("subnet", place.subnet)
        reservation = Reservation(
            port=f"port-of-{endpoint}",
            vpc=SHOP_VPC,
            subnet=place.subnet,
            address=self._address(endpoint, place.address),
            service=found,
            consumer=self._by_cell(SHOP_VPC),
            provider=self._by_cell(found.vpc),
        )
        if validate_only:
            del self.held[endpoint]
        if failure := self.failpoints.pop("reserve", None):
            raise failure
        return reservation

    def _routed(self, endpoint: str, found: PublishedService, place: Place) -> Reservation:
        ids = place.tables or (DEFAULT_TABLE,)
        self.holds[endpoint] = ids
        return Reservation(
            port="",
            vpc=SHOP_VPC,
            subnet="",
            address=found.public_prefixes[0].network_address,
            service=found,
            consumer=self._by_cell(SHOP_VPC),
            provider=self._by_cell(found.vpc),
            tables=self._in(ids),
        )

    async def hold(
        self, endpoint: str, owner: Principal, vpc: str, tables: Collection[str], *, validate_only: bool = False
    ) -> Tables:
        self._refuse("hold")
        if missing := [table for table in tables if table not in self.tables_there]:
            raise NotFound("route_table", missing[0])
        if not validate_only:
            self.holds[endpoint] = tuple(tables)
        return self._in(tuple(tables))

    async def tables(self, ids: Collection[str]) -> Mapping[str, Tables]:
        return {id_: self._in((id_,)) for id_ in ids if id_ in self.tables_there}

    def _in(self, ids: tuple[str, ...]) -> Tables:
        return Tables(ids, tuple(subnet for id_ in ids for subnet in self.tables_there[id_]))

    async def release(self, endpoint: str) -> None:
        self._refuse("release")
        self.held.pop(endpoint, None)
        self.holds.pop(endpoint, None)

    async def sources(self, services: Collection[str], vpcs: Collection[str]) -> Sources:
        self.questions += 1
        self._refuse("sources")
        return Sources(
            {id_: self.services[id_] for id_ in services if id_ in self.services},
            {key: target for key, target in self.targets.items() if key[0] in vpcs},
        )

    async def trust(self) -> internal_pb.GetTokenTrustResponse:
        return internal_pb.GetTokenTrustResponse()

    async def attached(self) -> Collection[str]:
        return {vpc for vpc, _ in self.targets}

    def change(self, service: str, *backends: str) -> PublishedService:
        """The service with other backends, at its next version."""
        before = self.services[service]
        changed = replace(
            before, version=before.version + 1, backends=tuple(Backend(IPv4Address(each)) for each in backends)
        )
        self.services[service] = changed
        return changed

    def _address(self, endpoint: str, wanted: str) -> IPv4Address:
        if endpoint in self.held:
            return self.held[endpoint]
        if wanted and IPv4Address(wanted) in self.held.values():
            raise AlreadyExists("ADDRESS_IN_USE", f"{wanted} is in use", field="endpoint.address")
        free = (IPv4Address("10.0.0.20") + number for number in range(10_000))
        address = IPv4Address(wanted) if wanted else next(each for each in free if each not in self.held.values())
        self.held[endpoint] = address
        return address

    def _by_cell(self, vpc: str) -> dict[str, Netns]:
        return {cell: target for (owner, cell), target in self.targets.items() if owner == vpc}

    def _refuse(self, method: str) -> None:
        if refusal := self.refusals.pop(method, None):
            raise refusal


@dataclass
class EndpointWorld:
    """All of it, with verbs that are short to write."""

    store: SqlStore
    registry: FakeRegistry
    clock: Clock
    app: EndpointApplication
    upkeep: Upkeep
    sessions: dict[str, str] = field(default_factory=dict)

    def context(self, by: Principal, method: str, request_id: str = "", version: int | None = None) -> CommandContext:
        return CommandContext(by, self.clock(), request_id, method, method.encode().ljust(32, b"."), version)

    async def create(
        self,
        service: str = OPEN_SERVICE,
        *,
        by: Principal = CONSUMER,
        request_id: str = "",
        address: str = "",
        subnet: str = SUBNET,
    ) -> endpoint_pb.Endpoint:
        wanted = Wanted("name", service, Place(subnet, address), ())
        return await self.app.requests.request(wanted, self.context(by, "CreateEndpoint", request_id))

    async def get(self, endpoint: str, by: Principal = CONSUMER) -> endpoint_pb.Endpoint:
        return await self.app.endpoints.get(endpoint, by)

    async def change(self, endpoint: str, **what: Any) -> endpoint_pb.Endpoint:
        command = replace(Change(self.clock(), CONSUMER, endpoint), **what)
        return await self.app.endpoints.change(command, self.context(CONSUMER, "UpdateEndpoint"))

    async def delete(self, endpoint: str, by: Principal = CONSUMER, drain: int = 0) -> endpoint_pb.Endpoint:
        command = Delete(self.clock(), by, endpoint, drain)
        return await self.app.endpoints.delete(command, self.context(by, "DeleteEndpoint"))

    async def accept(
        self, endpoint: str, service: str = SERVICE, by: Principal = PROVIDER, until: int = 0
    ) -> endpoint_pb.Connection:
        command = Accept(self.clock(), by, service, endpoint, until)
        return await self.app.connections.decide(command, self.context(by, "AcceptConnection"))

    async def reject(
        self, endpoint: str, service: str = SERVICE, by: Principal = PROVIDER, drain: int = 0
    ) -> endpoint_pb.Connection:
        command = Reject(self.clock(), by, service, endpoint, drain)
        return await self.app.connections.decide(command, self.context(by, "RejectConnection"))

    async def join(self, gateway: str = "gw-1", cell: str = "default") -> None:
        """Joins, and lets what follows from it happen."""
        self.sessions[gateway] = await self.app.cells.join(gateway, cell)
        await self.upkeep.errands()

    async def say(
        self,
        endpoint: str,
        presence: Presence,
        *,
        gateway: str = "gw-1",
        generation: int | None = None,
        reason: str = "",
        sources_wanted: int = 0,
    ) -> bool:
        """Reports of an endpoint, of its present generation unless another is given."""
        if generation is None:
            rows = await self.app.endpoints.there([endpoint])
            generation = (await self.get(endpoint)).generation if rows else 0
        said = Statement(gateway, endpoint, generation, presence, reason, sources_wanted)
        return await self.app.cells.report(gateway, self.sessions[gateway], [said])

    async def forwarding(self, endpoint: str, gateway: str = "gw-1", generation: int | None = None) -> None:
        assert await self.say(endpoint, Presence.FORWARDING, gateway=gateway, generation=generation)

    async def absent(self, endpoint: str, gateway: str = "gw-1", generation: int | None = None) -> None:
        assert await self.say(endpoint, Presence.ABSENT, gateway=gateway, generation=generation)

    async def beat(self) -> None:
        """Every gateway says that it is there."""
        for gateway, session in self.sessions.items():
            await self.app.cells.report(gateway, session, [])

    async def types(self, stream: str = "") -> list[str]:
        """What happened, in order, by stored names without their prefix."""
        events = await (self.store.load(stream) if stream else self.store.read(0, 10_000))
        return [event.type.removeprefix("endpoint.v1.") for event in events]


async def start(store: SqlStore, registry: FakeRegistry, clock: Clock, limits: Limits) -> EndpointWorld:
    app = await EndpointApplication.open(store, registry, limits, clock)
    upkeep = Upkeep(
        agenda=app.agenda,
        cells=app.cells,
        forwarding=app.forwarding,
        sources=app.sources,
        growth=app.growth,
        expiries=app.expiries,
    )
    return EndpointWorld(store, registry, clock, app, upkeep)


@asynccontextmanager
async def endpoint_world(path: Path, limits: Limits | None = None, where: str = "") -> AsyncIterator[EndpointWorld]:
    """`where` is its log, if not in the directory."""
    store = await SqlStore.open(where or path / "endpoint.db", projections=[TABLE], synchronous="NORMAL")
    try:
        yield await start(store, FakeRegistry(), Clock(), limits or Limits())
    finally:
        await store.close()
