"""Routes of gateway-type endpoints: their tables are held by the registry, and follow what it says of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from weakref import WeakValueDictionary

import structlog

from services.common.errors import AlreadyExists, Refused
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.store import AlreadyClaimed, Conflict, EventStore, StoreError
from services.endpoint.application.registry import PublishedService, Registry, Tables
from services.endpoint.application.rows import Rows
from services.endpoint.application.streams import Streams, no_answer, on_our_own
from services.endpoint.domain.endpoint import Absent
from services.endpoint.domain.endpoint_commands import Change, Reroute
from services.endpoint.domain.endpoint_constraints import ROUTE_TABLE, VPC_ROUTES, gateway_claim
from services.endpoint.domain.facts import Facts
from services.endpoint.domain.rerouting import Rerouting
from services.endpoint.domain.routes import Port, Routing, ports_of
from services.endpoint.projections import ENDPOINT, LIVE
from services.endpoint.wire.stored import ENDPOINT_STREAM, endpoint_stream

log = structlog.get_logger(__name__)


class Routes:
    def __init__(
        self, store: EventStore, streams: Streams, rows: Rows, registry: Registry, clock: Callable[[], int]
    ) -> None:
        self._store, self._streams, self._rows, self._registry, self._clock = store, streams, rows, registry, clock
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def changing(self, command: Change, context: CommandContext) -> AsyncIterator[Change]:
        """The change of an endpoint with what it needs to know of its routes; while it is made, tables that were and
        those that will be are held, and afterwards those that it has. Raises NotFound, Invalid, Unavailable.
        """
        tables = None if command.routes is None else command.routes.tables
        facts = await self._facts(command)
        if facts is None or facts.routing is None or (tables is None and command.policy is None):
            yield command
            return
        async with self._turns.setdefault(facts.id, asyncio.Lock()):
            known = Rerouting(ports=await self._ports(facts.service))
            if tables is None:
                yield replace(command, routes=known)
                return
            try:
                found = await self._take(facts, facts.routing, tables, context)
                yield replace(command, routes=replace(known, tables=found.ids, subnets=found.subnets))
            except AlreadyClaimed as clash:
                refuse_taken_routes(clash, facts.service)
                raise
            finally:
                await self._settle(facts)

    async def of_vpcs(self, vpcs: Collection[str]) -> None:
        """Tells gateways which subnets the tables of endpoints in these VPCs have now."""
        for vpc in vpcs:
            streams = (await self._store.holders(VPC_ROUTES, gateway_claim(vpc, "").key)).values()
            await asyncio.gather(*(self._refresh(stream.removeprefix(ENDPOINT_STREAM)) for stream in streams))

    async def of_service(self, service: PublishedService) -> None:
        """What a policy leaves depends on what the service publishes."""
        if not service.public_prefixes:
            return
        async for rows in self._rows.batches(ENDPOINT, parent=service.id, states=LIVE):
            await asyncio.gather(*(self._refresh(row.id) for row in rows))

    async def resync(self) -> None:
        """Looks at every endpoint that is routes: holds and subnets may be others than they should."""
        for stream in (await self._store.holders(VPC_ROUTES, "")).values():
            state, _ = await self._streams.endpoints.load(stream)
            if not isinstance(state, Absent):
                await self._settle(state.facts)
            await self._refresh(stream.removeprefix(ENDPOINT_STREAM))

    async def _facts(self, command: Change) -> Facts | None:
        state, _ = await self._streams.endpoints.load(endpoint_stream(command.endpoint))
        return None if isinstance(state, Absent) or state.facts.owner != command.by else state.facts

    async def _ports(self, service: str) -> frozenset[Port] | None:
        """What the service publishes now; None where it is gone."""
        sources = await self._registry.sources([service], [])
        found = sources.services.get(service)
        return None if found is None else ports_of(found.ports)

    async def _take(self, facts: Facts, routing: Routing, tables: tuple[str, ...], context: CommandContext) -> Tables:
        """The wanted tables, held beside those that the endpoint has."""
        both = tuple(dict.fromkeys((*routing.tables, *tables)))
        await self._registry.hold(facts.id, facts.owner, facts.vpc, both, validate_only=context.validate_only)
        return _together(tables, await self._registry.tables(tables))

    async def _settle(self, facts: Facts) -> None:
        """Best effort: what is held too much is let go of at the next change, or start."""
        try:
            state, _ = await self._streams.endpoints.load(endpoint_stream(facts.id))
            if not isinstance(state, Absent) and (routing := state.facts.routing) is not None:
                await self._registry.hold(facts.id, facts.owner, facts.vpc, routing.tables)
        except (Refused, StoreError) as error:
            log.warning("route tables stay held for an endpoint", endpoint=facts.id, why=str(error))

    async def _refresh(self, id_: str) -> None:
        while True:
            # The version is read before the registry is: an older answer can then not come after a newer one.
            state, version = await self._streams.endpoints.load(endpoint_stream(id_))
            if isinstance(state, Absent) or (routing := state.facts.routing) is None:
                return
            found = _together(routing.tables, await self._registry.tables(routing.tables))
            ports = await self._ports(state.facts.service)
            if await self._reroute(id_, Rerouting(subnets=found.subnets, ports=ports), version):
                return

    async def _reroute(self, id_: str, routes: Rerouting, expected_version: int) -> bool:
        """False where something else has happened to the endpoint in the meantime."""
        command = Reroute(self._clock(), routes)
        context = on_our_own("FollowRegistry", command.at, expected_version)
        try:
            await self._streams.endpoints.execute(endpoint_stream(id_), command, context, no_answer)
        except Conflict:
            return False
        return True


def refuse_taken_routes(clash: AlreadyClaimed, service: str) -> None:
    """Raises AlreadyExists where what is taken is a route table, or the VPC, by another endpoint of the service.

    The other one is of the same project, as the table is.
    """
    other, what = clash.holder.removeprefix(ENDPOINT_STREAM), clash.claim.key.partition("/")[0]
    if clash.claim.kind == ROUTE_TABLE:
        text = f"route table {what} has the routes of endpoint {other} to the service {service} already"
        way_out = "take it out of that one first, or name another table"
        found = {"route_table": what, "endpoint": other}
        raise AlreadyExists(
            "ROUTE_TABLE_TAKEN", f"{text}: {way_out}", field="endpoint.route_tables", metadata=found, blockers=[other]
        ) from clash
    if clash.claim.kind == VPC_ROUTES:
        text = f"endpoint {other} leads from VPC {what} to the service {service} already"
        way_out = "a VPC has one, so add your route tables to that"
        found = {"vpc": what, "endpoint": other}
        raise AlreadyExists(
            "ONE_ENDPOINT_PER_VPC", f"{text}: {way_out}", field="endpoint.vpc_id", metadata=found, blockers=[other]
        ) from clash


def _together(ids: tuple[str, ...], found: Mapping[str, Tables]) -> Tables:
    """What is in any of these; a table that is not there has nothing."""
    return Tables(ids, tuple(subnet for id_ in ids if id_ in found for subnet in found[id_].subnets))
