"""Route tables of VPCs: which subnets have which routes of gateway-type endpoints."""

from collections.abc import AsyncIterator, Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from sidegate.api.registry.v1 import registry_service_pb2 as rpc
from sidegate.api.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from sidegate.api.registry.v1.vpc_pb2 import RouteTable
from sidegate.api.registry.v1.watch_pb2 import RESOURCE_KIND_ROUTE_TABLE, WatchResponse
from sidegate.resources.changes import watch_registry
from sidegate.resources.paging import SIZE, Page
from sidegate.transport import Caller
from sidegate.watching import Begin, Interrupted, Watch


class RouteTables:
    """A VPC has a default one from its beginning, which has the subnets that are in no other."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, RegistryServiceStub(caller.channel)

    async def create(
        self, name: str, vpc_id: str, subnet_ids: Sequence[str] = (), *, description: str = "", request_id: str = ""
    ) -> RouteTable:
        """The subnets leave the tables that they were in."""
        table = RouteTable(name=name, vpc_id=vpc_id, subnet_ids=subnet_ids, description=description)
        request = rpc.CreateRouteTableRequest(route_table=table, request_id=request_id)
        return await self._caller.write(self._stub.CreateRouteTable, request)

    async def get(self, id: str) -> RouteTable:
        return await self._caller.ask(self._stub.GetRouteTable, rpc.GetRouteTableRequest(id=id))

    async def list(self, vpc_id: str = "") -> AsyncIterator[RouteTable]:
        """Of the VPC, or of all; default ones among them."""
        request = rpc.ListRouteTablesRequest(vpc_id=vpc_id)
        async for page in self._caller.pages(self._stub.ListRouteTables, request):
            for table in page.route_tables:
                yield table

    async def page(
        self, *, skip: int = 0, size: int = SIZE, vpc_id: str = "", ids: Sequence[str] = ()
    ) -> Page[RouteTable]:
        """So many, behind as many others, and how many there are."""
        request = rpc.ListRouteTablesRequest(page_size=size, skip=skip, want_total=True, vpc_id=vpc_id, ids=ids)
        answer = await self._caller.ask(self._stub.ListRouteTables, request)
        return Page(answer.route_tables, answer.total_size)

    async def update(
        self,
        id: str,
        *,
        name: str | None = None,
        subnet_ids: Sequence[str] | None = None,
        description: str | None = None,
        etag: str = "",
        request_id: str = "",
    ) -> RouteTable:
        """Changes what is given; what is None stays. Subnets that are left out go back to the default table."""
        changes = {"name": name, "subnet_ids": subnet_ids, "description": description}
        table = RouteTable(
            id=id, etag=etag, name=name or "", subnet_ids=subnet_ids or (), description=description or ""
        )
        mask = FieldMask(paths=[path for path, value in changes.items() if value is not None])
        request = rpc.UpdateRouteTableRequest(route_table=table, update_mask=mask, request_id=request_id)
        return await self._caller.write(self._stub.UpdateRouteTable, request)

    async def delete(self, id: str, *, etag: str = "", request_id: str = "") -> None:
        request = rpc.DeleteRouteTableRequest(id=id, etag=etag, request_id=request_id)
        await self._caller.write(self._stub.DeleteRouteTable, request)

    def watch(
        self, *, id: str = "", after: Begin = None, interrupted: Interrupted | None = None
    ) -> Watch[WatchResponse]:
        """What happens to the project's route tables, or to the one."""
        return watch_registry(self._caller, [RESOURCE_KIND_ROUTE_TABLE], id=id, after=after, interrupted=interrupted)
