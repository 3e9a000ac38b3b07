"""The public interface of route tables: requests to use cases, and back."""

from google.protobuf.empty_pb2 import Empty

from services.common.rpc import paging
from services.common.rpc.auth import principal
from services.common.rpc.calls import Context
from services.common.rpc.command import command_context
from services.registry.application.registry import Registry
from services.registry.application.streams import new_id
from services.registry.projections import ROUTE_TABLE
from services.registry.wire import selections
from services.registry.wire.networks import paths_of
from services.registry.wire.route_tables import ROUTE_TABLE_FIELDS, parse_route_table, parse_route_table_change
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from sidegate.api.registry.v1 import vpc_pb2


class RouteTableMethods:
    """Its part of the registry's interface."""

    _registry: Registry

    async def CreateRouteTable(
        self, request: registry_pb2.CreateRouteTableRequest, context: Context
    ) -> vpc_pb2.RouteTable:
        wanted, told = request.route_table, command_context(request, "CreateRouteTable")
        made = parse_route_table(wanted, new_id(told), told.at_ns)
        return await self._registry.route_tables.create(wanted.vpc_id.lower(), made, told)

    async def GetRouteTable(self, request: registry_pb2.GetRouteTableRequest, context: Context) -> vpc_pb2.RouteTable:
        return await self._registry.inventory.owned(ROUTE_TABLE, request.id.lower(), principal())

    async def ListRouteTables(
        self, request: registry_pb2.ListRouteTablesRequest, context: Context
    ) -> registry_pb2.ListRouteTablesResponse:
        asked = paging.asked(request)
        found = await self._registry.inventory.listed(
            ROUTE_TABLE,
            principal(),
            asked.window,
            parent=request.vpc_id.lower(),
            selection=selections.route_tables(request),
        )
        tables, token = asked.cut(found)
        return registry_pb2.ListRouteTablesResponse(route_tables=tables, next_page_token=token, total_size=found.total)

    async def UpdateRouteTable(
        self, request: registry_pb2.UpdateRouteTableRequest, context: Context
    ) -> vpc_pb2.RouteTable:
        told = command_context(request, "UpdateRouteTable", request.route_table.etag)
        change = parse_route_table_change(request.route_table, paths_of(request.update_mask, ROUTE_TABLE_FIELDS))
        return await self._registry.route_tables.change(change, told)

    async def DeleteRouteTable(self, request: registry_pb2.DeleteRouteTableRequest, context: Context) -> Empty:
        told = command_context(request, "DeleteRouteTable", request.etag)
        await self._registry.route_tables.delete(request.id.lower(), told)
        return Empty()
