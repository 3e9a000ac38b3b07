"""`/v1/{project_id}/routetables`: which subnets are in which; what leads where is the endpoints' that are in them."""

import secrets
from http import HTTPStatus

from google.protobuf.field_mask_pb2 import FieldMask

from services.http_api.auth.caller import CREATES, ProjectCaller
from services.http_api.upstream import Acting
from services.http_api.vpc import shown
from services.http_api.vpc.lists import MOST, Limit, Marker, Wanted, page
from services.http_api.vpc.refusals import router as router_of
from services.http_api.vpc.refusals import unsupported
from services.http_api.vpc.route_table_models import (
    AssociateBody,
    CreateRouteTableBody,
    RouteTableAnswer,
    RouteTablesAnswer,
    UpdateRouteTableBody,
)
from sidegate.api.registry.v1 import registry_service_pb2 as rpc
from sidegate.api.registry.v1 import vpc_pb2

router = router_of("route tables")

ALL, ONE = "/v1/{project_id}/routetables", "/v1/{project_id}/routetables/{routetable_id}"


@router.post(ALL, operation_id="CreateRouteTable", openapi_extra=CREATES)
async def create(caller: ProjectCaller, body: CreateRouteTableBody) -> RouteTableAnswer:
    wanted = body.routetable
    if wanted.routes:
        raise _no_routes()
    table = vpc_pb2.RouteTable(
        name=wanted.name or f"rtb-{secrets.token_hex(4)}", vpc_id=wanted.vpc_id, description=wanted.description
    )
    request = rpc.CreateRouteTableRequest(route_table=table)
    return _answer(await caller.write(caller.upstream.registry.CreateRouteTable, request), caller)


@router.get(ALL, operation_id="ListRouteTables")
async def list_route_tables(
    caller: ProjectCaller,
    *,
    limit: Limit = MOST,
    marker: Marker = "",
    id: Wanted = "",
    vpc_id: Wanted = "",
    subnet_id: Wanted = "",
) -> RouteTablesAnswer:
    """With the default ones; a subnet is in one."""
    pages = caller.pages(caller.upstream.registry.ListRouteTables, rpc.ListRouteTablesRequest(page_size=1000))
    found = [
        table
        async for some in pages
        for table in some.route_tables
        if id in ("", table.id) and vpc_id in ("", table.vpc_id) and subnet_id in ("", *table.subnet_ids)
    ]
    return RouteTablesAnswer(routetables=[shown.route_table(each, caller) for each in page(found, limit, marker)])


@router.get(ONE, operation_id="ShowRouteTable")
async def show(caller: ProjectCaller, routetable_id: str) -> RouteTableAnswer:
    return _answer(await _got(caller, routetable_id), caller)


@router.put(ONE, operation_id="UpdateRouteTable")
async def update(caller: ProjectCaller, routetable_id: str, body: UpdateRouteTableBody) -> RouteTableAnswer:
    wanted = body.routetable
    if wanted.routes:
        raise _no_routes()
    table, paths = vpc_pb2.RouteTable(id=routetable_id), []
    for path, value in (("name", wanted.name), ("description", wanted.description)):
        if value is not None:
            setattr(table, path, value)
            paths.append(path)
    return _answer(await _written(caller, table, *paths) if paths else await _got(caller, routetable_id), caller)


@router.post(f"{ONE}/action", operation_id="AssociateRouteTable")
async def associate(caller: ProjectCaller, routetable_id: str, body: AssociateBody) -> RouteTableAnswer:
    """Subnets that are put in leave the table that they were in; those that are taken out are in the default one."""
    wanted, known = body.routetable.subnets, await _got(caller, routetable_id)
    gone = {each.lower() for each in wanted.disassociate}
    subnets = [each for each in known.subnet_ids if each not in gone]
    subnets += [each.lower() for each in wanted.associate if each.lower() not in subnets]
    table = vpc_pb2.RouteTable(id=known.id, subnet_ids=subnets, etag=known.etag)
    return _answer(await _written(caller, table, "subnet_ids"), caller)


@router.delete(ONE, operation_id="DeleteRouteTable", status_code=HTTPStatus.NO_CONTENT)
async def delete(caller: ProjectCaller, routetable_id: str) -> None:
    await caller.write(caller.upstream.registry.DeleteRouteTable, rpc.DeleteRouteTableRequest(id=routetable_id))


async def _got(caller: Acting, id_: str) -> vpc_pb2.RouteTable:
    return await caller.ask(caller.upstream.registry.GetRouteTable, rpc.GetRouteTableRequest(id=id_))


async def _written(caller: Acting, table: vpc_pb2.RouteTable, *paths: str) -> vpc_pb2.RouteTable:
    request = rpc.UpdateRouteTableRequest(route_table=table, update_mask=FieldMask(paths=paths))
    return await caller.write(caller.upstream.registry.UpdateRouteTable, request)


def _answer(found: vpc_pb2.RouteTable, caller: Acting) -> RouteTableAnswer:
    return RouteTableAnswer(routetable=shown.route_table(found, caller))


def _no_routes() -> Exception:
    return unsupported("routes", "an endpoint of a gateway-type service puts them there")
