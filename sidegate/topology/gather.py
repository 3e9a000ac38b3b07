"""Asks a running Sidegate for all that the caller may see: many things at once, and again only what has changed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import Message

from sidegate import errors
from sidegate.api.endpoint.v1.backend_health_pb2 import GetServiceHealthResponse
from sidegate.api.endpoint.v1.endpoint_pb2 import Connection, Endpoint
from sidegate.api.endpoint.v1.gateways_service_pb2 import Gateway
from sidegate.api.gateway.v1.gateway_service_pb2 import GetStatusResponse
from sidegate.api.registry.v1.account_pb2 import ROLE_OPERATOR
from sidegate.api.registry.v1.endpoint_service_pb2 import ConnectableService, EndpointService
from sidegate.api.registry.v1.vpc_pb2 import Attachment, Port, RouteTable, Subnet, Vpc
from sidegate.client import Client

AT_ONCE = 16
"""Questions that are asked at the same time."""

MOST_COUNTED = 1000
OPERATOR = "operator"
WATCHED = frozenset({"vpc", "subnet", "port", "route_table", "attachment", "service", "endpoint", "connection"})
"""Kinds as watches tell of them."""

POLLED = frozenset({"endpoint", "health", "gateway"})
"""What gateways say of these is in no watch."""

ALL = WATCHED | POLLED
TRAFFIC = "traffic"
"""Is asked for by whoever wants it."""

M = TypeVar("M", bound=Message)
R = TypeVar("R")


@dataclass
class Seen:
    """What was told, as the contract has it: `lookups` are services of others, by id."""

    viewer: str = ""
    vpcs: dict[str, Vpc] = field(default_factory=dict)
    subnets: list[Subnet] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)
    route_tables: list[RouteTable] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    services: list[EndpointService] = field(default_factory=list)
    endpoints: list[Endpoint] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    health: dict[str, GetServiceHealthResponse] = field(default_factory=dict)
    lookups: dict[str, ConnectableService] = field(default_factory=dict)
    gateways: list[Gateway | GetStatusResponse] = field(default_factory=list)
    traffic: dict[str, float] = field(default_factory=dict)
    """Bytes in a second, both ways, by endpoint; of those through which anything passes."""


@dataclass
class Own:
    """What one project has: `connections` and `health` are by service."""

    subnets: Sequence[Subnet] = ()
    ports: Sequence[Port] = ()
    route_tables: Sequence[RouteTable] = ()
    services: Sequence[EndpointService] = ()
    endpoints: Sequence[Endpoint] = ()
    connections: Mapping[str, Sequence[Connection]] = field(default_factory=dict)
    health: Mapping[str, GetServiceHealthResponse] = field(default_factory=dict)
    traffic: Mapping[str, float] = field(default_factory=dict)


async def gather(sidegate: Client) -> Seen:
    """A tenant sees his project; the operator, where it acts for nobody, everybody's. Raises SidegateError.

    What is deleted while this reads is left out.
    """
    async with aclosing(Gathering(sidegate)) as gathering:
        return await gathering.refresh()


class Gathering:
    """What a caller may see, kept from one question to the next."""

    def __init__(self, sidegate: Client) -> None:
        self._sidegate = sidegate
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._viewer, self._sees_all = "", False
        self._vpcs: Sequence[Vpc] = ()
        self._attachments: Sequence[Attachment] = ()
        self._gateways: Sequence[Gateway | GetStatusResponse] = ()
        self._lookups: dict[str, ConnectableService | None] = {}
        self._owns: dict[tuple[str, str], Own] = {}
        self._acting: dict[tuple[str, str], Client] = {}

    async def refresh(self, kinds: Collection[str] = ALL) -> Seen:
        """Asks for these kinds anew; the first time for all. Raises SidegateError, and keeps what it had."""
        if not self._viewer:
            await self._introduce()
            kinds = ALL.union(kinds)
        if "vpc" in kinds:
            self._vpcs = await self._all(self._sidegate.vpcs.list())
        await asyncio.gather(self._of_operator(kinds), *(self._project(*each, kinds) for each in self._clients()))
        await self._foreign(anew="service" in kinds)
        return self._seen()

    async def aclose(self) -> None:
        for client in self._acting.values():
            await client.close()
        self._acting.clear()

    async def _introduce(self) -> None:
        me = await self._sidegate.accounts.who_am_i()
        self._sees_all = me.role == ROLE_OPERATOR and not me.acting and me.account == OPERATOR
        self._viewer = OPERATOR if self._sees_all else f"{me.account}/{me.project}"

    def _clients(self) -> Sequence[tuple[tuple[str, str], Client]]:
        """By project, each with whoever may ask for what it has."""
        if not self._sees_all:
            return [(("", ""), self._sidegate)]
        owners = sorted({(vpc.account, vpc.project) for vpc in self._vpcs})
        for owner in owners:
            if owner not in self._acting:
                self._acting[owner] = self._sidegate.acting_for(*owner)
        return [(owner, self._acting[owner]) for owner in owners]

    async def _of_operator(self, kinds: Collection[str]) -> None:
        if self._sees_all and "attachment" in kinds:
            self._attachments = await self._all(self._sidegate.attachments.list())
        if self._sees_all and "gateway" in kinds:
            self._gateways = await self._known_gateways()

    async def _known_gateways(self) -> Sequence[Gateway | GetStatusResponse]:
        """Of all cells as they last reported, and of this machine as it is now; those that can be asked for."""
        told: dict[str, Gateway | GetStatusResponse] = {}
        with suppress(errors.SidegateError):
            told |= {each.gateway_id: each for each in await self._all(self._sidegate.gateways.list())}
        with suppress(errors.SidegateError):
            nearest = await self._sidegate.gateway.status()
            told[nearest.gateway_id] = nearest
        return list(told.values())

    async def _project(self, owner: tuple[str, str], client: Client, kinds: Collection[str]) -> None:
        own, kinds = (self._owns[owner], kinds) if owner in self._owns else (Own(), ALL.union(kinds))

        async def keep(kind: str, name: str, listed: AsyncIterator[M]) -> None:
            if kind in kinds:
                setattr(own, name, await self._all(listed))

        await asyncio.gather(
            keep("subnet", "subnets", client.subnets.list()),
            keep("port", "ports", client.ports.list()),
            keep("route_table", "route_tables", client.route_tables.list()),
            keep("endpoint", "endpoints", client.endpoints.list()),
            self._services(client, own, kinds),
            self._traffic(client, own, kinds),
        )
        self._owns[owner] = own

    async def _services(self, client: Client, own: Own, kinds: Collection[str]) -> None:
        """They, and what belongs to each: of a new one all, of others what is asked for."""
        if "service" in kinds:
            own.services = await self._all(client.services.list())
        every = [each.id for each in own.services]
        new = [each for each in every if each not in own.connections]
        checked = {each.id for each in own.services if each.HasField("health_check")}
        asked = every if "health" in kinds else [each for each in checked if each not in own.health]
        connections, health = await asyncio.gather(
            self._connections(client, every if "connection" in kinds else new),
            self._each([each for each in asked if each in checked], client.connections.health),
        )
        own.connections = _now(own.connections, connections, every)
        own.health = _now(own.health, health, checked)

    async def _traffic(self, client: Client, own: Own, kinds: Collection[str]) -> None:
        """None where nobody counts it: the picture is of all else."""
        if TRAFFIC not in kinds:
            return
        try:
            found = await self._all(client.traffic.list())
        except errors.SidegateError:
            found = []
        own.traffic = {each.endpoint_id: round(each.rates.bytes_in + each.rates.bytes_out) for each in found}

    async def _connections(self, client: Client, services: Sequence[str]) -> Mapping[str, Sequence[Connection]]:
        """Where there are many services, only those that have any are asked for them."""
        busy = services
        if len(services) > AT_ONCE:
            parts = [services[at : at + MOST_COUNTED] for at in range(0, len(services), MOST_COUNTED)]
            counts = [await self._in_turn(client.connections.counts(part)) for part in parts]
            busy = [each for each in services if any(each in part for part in counts)]
        found = await self._each(busy, lambda id_: self._unbounded(client.connections.list(id_)))
        return {id_: found.get(id_, ()) for id_ in services}

    async def _each(self, ids: Sequence[str], ask: Callable[[str], Awaitable[R]]) -> Mapping[str, R]:
        """The answers by id, without what was deleted meanwhile."""

        async def answered(id_: str) -> Sequence[tuple[str, R]]:
            try:
                return [(id_, await self._in_turn(ask(id_)))]
            except errors.NotFound:
                return []

        found = await asyncio.gather(*map(answered, ids))
        return dict(pair for pairs in found for pair in pairs)

    async def _foreign(self, *, anew: bool) -> None:
        """Services that only endpoints tell of: their ports, as long as the caller may connect to them."""
        own = {service.id for each in self._owns.values() for service in each.services}
        named = {endpoint.service for each in self._owns.values() for endpoint in each.endpoints} - own
        asked = sorted(named if anew else named - set(self._lookups))
        found = await self._each(asked, self._sidegate.services.lookup)
        kept = {id_: self._lookups.get(id_) for id_ in named}
        self._lookups = kept | {id_: found.get(id_) for id_ in asked}

    def _seen(self) -> Seen:
        owns = [self._owns[owner] for owner, _ in self._clients()]
        return Seen(
            self._viewer,
            {vpc.id: vpc for vpc in self._vpcs},
            [each for own in owns for each in own.subnets],
            [each for own in owns for each in own.ports],
            [each for own in owns for each in own.route_tables],
            list(self._attachments),
            [each for own in owns for each in own.services],
            [each for own in owns for each in own.endpoints],
            [each for own in owns for connections in own.connections.values() for each in connections],
            {id_: each for own in owns for id_, each in own.health.items()},
            {id_: each for id_, each in self._lookups.items() if each is not None},
            list(self._gateways),
            {id_: each for own in owns for id_, each in own.traffic.items()},
        )

    async def _all(self, listed: AsyncIterator[R]) -> Sequence[R]:
        return await self._in_turn(self._unbounded(listed))

    async def _unbounded(self, listed: AsyncIterator[R]) -> Sequence[R]:
        return [each async for each in listed]

    async def _in_turn(self, asking: Awaitable[R]) -> R:
        async with self._turn:
            return await asking


def _now(before: Mapping[str, R], told: Mapping[str, R], there: Collection[str]) -> Mapping[str, R]:
    """What is known now of those that are there."""
    return {id_: each for id_, each in {**before, **told}.items() if id_ in there}
