"""Use cases of route tables."""

from collections.abc import Callable

from services.common.etags import revision_of, stamped
from services.common.eventsourcing.context import CommandContext
from services.registry.application.inventory import Inventory
from services.registry.application.streams import Streams, no_answer, stream
from services.registry.domain import vpc as domain
from services.registry.domain.network import RouteTable
from services.registry.domain.route_commands import ChangeRouteTable, CreateRouteTable, DeleteRouteTable
from services.registry.domain.route_tables import default_table
from services.registry.projections import ROUTE_TABLE, VPC
from services.registry.wire.route_tables import route_table_message
from sidegate.api.registry.v1 import vpc_pb2


class RouteTables:
    def __init__(self, streams: Streams, inventory: Inventory) -> None:
        self._streams, self._inventory = streams, inventory

    async def create(self, vpc_id: str, made: RouteTable, context: CommandContext) -> vpc_pb2.RouteTable:
        if (first := await self._streams.first_answer(context)) is not None:
            return vpc_pb2.RouteTable.FromString(first)
        await self._inventory.owned(VPC, vpc_id, context.principal)
        return await self._execute(vpc_id, made.id, CreateRouteTable(made), context)

    async def change(self, command: ChangeRouteTable, context: CommandContext) -> vpc_pb2.RouteTable:
        if (first := await self._streams.first_answer(context)) is not None:
            return vpc_pb2.RouteTable.FromString(first)
        table = await self._inventory.owned(ROUTE_TABLE, command.table_id, context.principal)
        return await self._execute(table.vpc_id, table.id, command, context)

    async def delete(self, id_: str, context: CommandContext) -> None:
        """Deletes a table that no endpoint is in at the very moment."""
        if await self._streams.first_answer(context) is not None:
            return
        table = await self._inventory.owned(ROUTE_TABLE, id_, context.principal)
        await self._streams.vpcs.execute(
            stream("vpc", table.vpc_id), DeleteRouteTable(id_), context, no_answer, revision=_revision_of(id_)
        )

    async def _execute(
        self, vpc_id: str, table_id: str, command: CreateRouteTable | ChangeRouteTable, context: CommandContext
    ) -> vpc_pb2.RouteTable:
        def shown(state: domain.State, _version: int) -> bytes:
            (made,) = _tables(state, table_id)
            return stamped(made).SerializeToString(deterministic=True)

        outcome = await self._streams.vpcs.execute(
            stream("vpc", vpc_id), command, context, shown, revision=_revision_of(table_id)
        )
        return vpc_pb2.RouteTable.FromString(outcome.response)


def _tables(state: domain.State, id_: str) -> list[vpc_pb2.RouteTable]:
    """The VPC's table of this id, if it is there."""
    vpc = domain.of(state)
    tables = (*vpc.route_tables, default_table(vpc))
    return [route_table_message(each, vpc) for each in tables if each.id == id_]


def _revision_of(id_: str) -> Callable[[domain.State, int], int]:
    """A table's etag counts no change of its VPC or of others."""
    return lambda state, _: sum(map(revision_of, _tables(state, id_)))
