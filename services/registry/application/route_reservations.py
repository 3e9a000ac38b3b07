"""Routes of endpoints of gateway-type services: tables that they are in stay, and their VPC keeps clear of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.errors import Invalid, NotFound
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.store import Constraints
from services.common.principal import Principal
from services.registry.application.endpoints import Endpoints
from services.registry.application.inventory import owned
from services.registry.application.streams import Streams, no_answer, on_our_own, stream
from services.registry.domain import vpc as domain
from services.registry.domain.network import RouteHold, RouteTable
from services.registry.domain.route_commands import HoldRouteTables, ReleaseRoutes, ReserveRoutes
from services.registry.domain.route_tables import routes_claim, table_of
from services.registry.projections import VPC, Resources
from services.registry.wire.route_tables import route_table_message
from services.registry.wire.vpcs import subnet_message
from sidegate.api.registry.v1 import vpc_pb2

ASKED_AT_ONCE = 1000
"""How many endpoints one question may be about."""


@dataclass(frozen=True, slots=True)
class Held:
    """The route tables that an endpoint has its routes in, and the subnets of them."""

    tables: Sequence[vpc_pb2.RouteTable] = ()
    subnets: Sequence[vpc_pb2.Subnet] = ()


class RouteReservations:
    def __init__(self, streams: Streams, resources: Resources, endpoints: Endpoints) -> None:
        self._streams, self._resources, self._endpoints = streams, resources, endpoints
        self._settled: set[str] = set()

    async def reserve(self, hold: RouteHold, vpc_id: str, conditions: Constraints, context: CommandContext) -> Held:
        """Holds these tables, the default one where there are none. Raises NotFound, Invalid, AlreadyClaimed."""
        outcome = await self._streams.vpcs.execute(
            stream("vpc", vpc_id), ReserveRoutes(hold), context, no_answer, extra=conditions
        )
        return _held(outcome.state, hold.endpoint)

    async def hold(
        self, endpoint: str, owner: Principal, vpc_id: str, tables: Sequence[str], context: CommandContext
    ) -> Held:
        """Holds exactly these tables from now on. Raises NotFound."""
        owned(VPC, vpc_id, await self._resources.get(VPC, vpc_id), owner)
        command = HoldRouteTables(endpoint, distinct(tables))
        outcome = await self._streams.vpcs.execute(stream("vpc", vpc_id), command, context, no_answer)
        return _held(outcome.state, endpoint)

    async def release(self, endpoint: str, context: CommandContext) -> None:
        """Lets go of an endpoint's routes; again is not an error."""
        held = (await self._streams.holders(routes_claim(endpoint))).get(endpoint)
        if held is not None:
            await self._streams.vpcs.execute(held, ReleaseRoutes(endpoint), context, no_answer)

    async def release_unknown(self, before: int, at: int) -> None:
        """Lets go of what was reserved before that moment for endpoints that never came to be."""
        held = await self._streams.holders(routes_claim(""))
        self._settled &= held.keys()
        doubted = sorted(held.keys() - self._settled)
        for start in range(0, len(doubted), ASKED_AT_ONCE):
            asked = doubted[start : start + ASKED_AT_ONCE]
            known = await self._endpoints.known(asked)
            self._settled |= known
            for endpoint in sorted(set(asked) - known):
                context = on_our_own("ReleaseUnknownReservations", at)
                await self._streams.vpcs.execute(held[endpoint], ReleaseRoutes(endpoint, before), context, no_answer)

    def doubt(self) -> None:
        """Has every endpoint asked for again: deletions may have gone unheard."""
        self._settled.clear()


def distinct(tables: Sequence[str]) -> tuple[str, ...]:
    """Ids as they are kept, each once."""
    return tuple(dict.fromkeys(table.lower() for table in tables))


def _held(state: domain.State, endpoint: str) -> Held:
    vpc = domain.of(state)
    hold = next((each for each in vpc.route_holds if each.endpoint == endpoint), None)
    if hold is None:
        raise NotFound("endpoint", endpoint)
    tables: list[RouteTable] = [table_of(vpc, each) for each in hold.tables]
    inside = {subnet for table in tables for subnet in table.subnets}
    subnets = [subnet_message(each, vpc) for each in vpc.subnets if each.id in inside]
    return Held([route_table_message(table, vpc) for table in tables], subnets)


def require_place(is_gateway: bool, subnet_id: str, vpc_id: str, address: str, tables: Sequence[str]) -> None:
    """Refuses a request that says where an endpoint of the other type is to be."""
    if is_gateway:
        if not vpc_id:
            text = (
                "the service is reached by routes of a VPC: name the VPC, and route tables of it if not the default one"
            )
            raise Invalid("VPC_MISSING", text, field="vpc_id")
        if subnet_id or address:
            text = "the service is reached by routes, and its endpoints have no address: leave subnet and address out"
            raise Invalid("ADDRESS_OF_GATEWAY", text, field="subnet_id" if subnet_id else "address")
        return
    if tables:
        text = "the service is reached by an address in a subnet, not by routes: leave the route tables out"
        raise Invalid("ROUTE_TABLES_OF_INTERFACE", text, field="route_tables")
    if not subnet_id:
        text = "the service is reached by an address: name the subnet that it is to be taken from"
        raise Invalid("SUBNET_MISSING", text, field="subnet_id")
