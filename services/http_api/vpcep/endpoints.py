"""Endpoints: requested, listed, their whitelists, route tables and policies changed, deleted."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response
from google.protobuf.field_mask_pb2 import FieldMask

from services.http_api.auth.caller import CREATES, ProjectCaller, SignedRoute
from services.http_api.errors import Refused
from services.http_api.upstream import Acting
from services.http_api.vpcep import endpoint_mapping as mapping
from services.http_api.vpcep import policies
from services.http_api.vpcep.endpoint_models import (
    CreateEndpointBody,
    Endpoint,
    EndpointsAnswer,
    EndpointsQuery,
    PolicyBody,
    RouteTableError,
    RouteTablesAnswer,
    RouteTablesBody,
    WhitelistBody,
)
from services.http_api.vpcep.ids import is_id, required
from services.http_api.vpcep.listing import part
from sidegate import errors
from sidegate.api.endpoint.v1 import endpoint_service_pb2 as rpc
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint as Found
from sidegate.api.registry.v1.registry_service_pb2 import GetSubnetRequest

router = APIRouter(prefix="/v1/{project_id}/vpc-endpoints", tags=["endpoints"], route_class=SignedRoute)

NOT_THERE = "2006"
KINDS = {"service": "2003", "subnet": "0023", "vpc": "2001", "route_table": "1019"}
"""What is not there of what a new endpoint names."""


async def get(caller: Acting, endpoint_id: str) -> Found:
    """An endpoint of the caller's. Raises Refused and SidegateError."""
    request = rpc.GetEndpointRequest(id=required(endpoint_id, NOT_THERE))
    return await caller.ask(caller.upstream.endpoints.GetEndpoint, request)


async def update(caller: Acting, endpoint: Found, paths: Sequence[str]) -> Found:
    request = rpc.UpdateEndpointRequest(endpoint=endpoint, update_mask=FieldMask(paths=paths))
    return await caller.write(caller.upstream.endpoints.UpdateEndpoint, request)


def _require_one_address(body: CreateEndpointBody) -> None:
    """An endpoint has one address, of one version."""
    if body.ip_version == "dualstack":
        raise Refused("0002", "ip_version: an endpoint has one address, give ipv4 or ipv6 and make one for each.")
    if body.ipv6_address and body.port_ip:
        raise Refused("2041", "An endpoint has one address: give either port_ip or ipv6_address.")


async def _require_place(caller: Acting, body: CreateEndpointBody) -> None:
    """The subnet is one of the VPC that is named with it, and of the IP version; without one, there are routes."""
    if not body.subnet_id:
        required(body.vpc_id, "0020")
        return
    vpc_id, subnet_id = required(body.vpc_id, "0020"), required(body.subnet_id, "0023")
    subnet = await caller.ask(caller.upstream.registry.GetSubnet, GetSubnetRequest(id=subnet_id))
    if subnet.vpc_id != vpc_id:
        raise Refused("2037", f"Subnet {subnet_id} is in VPC {subnet.vpc_id}.")
    if body.ip_version and body.ip_version != mapping.version_of(subnet.cidr):
        raise Refused("0023", f"Subnet {subnet_id} is {subnet.cidr}, and ip_version {body.ip_version}.")


@router.post("", operation_id="CreateEndpoint", openapi_extra=CREATES)
async def create_endpoint(caller: ProjectCaller, body: CreateEndpointBody) -> Endpoint:
    required(body.endpoint_service_id, "3062")
    for table in body.routetables or ():
        required(table, "1019")
    _require_one_address(body)
    wanted = mapping.wanted(body)
    try:
        await _require_place(caller, body)
        request = rpc.CreateEndpointRequest(endpoint=wanted)
        return mapping.shown(await caller.write(caller.upstream.endpoints.CreateEndpoint, request))
    except errors.NotFound as error:
        code = KINDS.get(error.metadata.get("kind", ""))
        if code is None:
            raise
        raise Refused(code, error.text) from error


@router.get("", operation_id="ListEndpoints")
async def list_endpoints(caller: ProjectCaller, query: Annotated[EndpointsQuery, Query()]) -> EndpointsAnswer:
    if not all(is_id(each) for each in (query.id, query.vpc_id) if each):
        return EndpointsAnswer(endpoints=[], total_count=0)
    request = rpc.ListEndpointsRequest(
        ids=[query.id.lower()] if query.id else [],
        vpc_id=query.vpc_id.lower(),
        service_name_contains=query.endpoint_service_name,
    )
    found = await part(caller, caller.upstream.endpoints.ListEndpoints, request, "endpoints", query)
    return EndpointsAnswer(endpoints=[mapping.shown(each) for each in found.items], total_count=found.total)


@router.get("/{vpc_endpoint_id}", operation_id="ListEndpointInfoDetails")
async def get_endpoint(caller: ProjectCaller, vpc_endpoint_id: str) -> Endpoint:
    return mapping.shown(await get(caller, vpc_endpoint_id))


@router.put("/{vpc_endpoint_id}", operation_id="UpdateEndpointWhite")
async def update_whitelist(caller: ProjectCaller, vpc_endpoint_id: str, body: WhitelistBody) -> Endpoint:
    """Sources that are allowed no more are cut."""
    wanted, paths = mapping.whitelisted(body, Found(id=required(vpc_endpoint_id, NOT_THERE)))
    return mapping.shown(await update(caller, wanted, paths))


@router.delete("/{vpc_endpoint_id}", operation_id="DeleteEndpoint", status_code=204)
async def delete_endpoint(caller: ProjectCaller, vpc_endpoint_id: str) -> Response:
    known = await get(caller, vpc_endpoint_id)
    request = rpc.DeleteEndpointRequest(id=known.id)
    await caller.write(caller.upstream.endpoints.DeleteEndpoint, request)
    return Response(status_code=204)


@router.put("/{vpc_endpoint_id}/routetables", operation_id="UpdateEndpointRoutetable")
async def update_route_tables(caller: ProjectCaller, vpc_endpoint_id: str, body: RouteTablesBody) -> RouteTablesAnswer:
    """The route tables that it is to be in, all of them. What cannot be is told, and the rest is done."""
    known = await get(caller, vpc_endpoint_id)
    if not known.route_tables:
        if body.routetables:
            raise Refused("2040", "Only endpoints of type gateway have route tables.")
        return RouteTablesAnswer(routetables=[], error=[])
    wanted, failed = list(dict.fromkeys(table.lower() for table in body.routetables)), list[RouteTableError]()
    while wanted or not failed:
        try:
            found = await update(caller, Found(id=known.id, route_tables=wanted), ["route_tables"])
        except (errors.NotFound, errors.AlreadyExists, errors.InvalidRequest) as error:
            culprit = mapping.table_at_fault(error, wanted)
            if culprit is None:
                raise
            wanted.remove(culprit)
            failed.append(RouteTableError(id=culprit, error_message=error.text))
        else:
            return mapping.bound(found, failed)
    return mapping.bound(known, failed)


@router.put("/{vpc_endpoint_id}/policy", operation_id="UpdateEndpointPolicy")
async def update_policy(caller: ProjectCaller, vpc_endpoint_id: str, body: PolicyBody) -> Endpoint:
    id_ = required(vpc_endpoint_id, NOT_THERE)
    if body.policy_statement is None and body.policy_document is None:
        raise Refused(policies.INVALID, "Give policy_statement or policy_document.")
    policy = policies.document(body.policy_statement, body.policy_document)
    return mapping.shown(await update(caller, Found(id=id_, policy=policy), ["policy"]))


@router.delete("/{vpc_endpoint_id}/policy", operation_id="DeleteEndpointPolicy")
async def delete_policy(caller: ProjectCaller, vpc_endpoint_id: str) -> Endpoint:
    """Answers with the endpoint, which is without one then."""
    known = await get(caller, vpc_endpoint_id)
    if not known.policy:
        raise Refused("2049")
    return mapping.shown(await update(caller, Found(id=known.id), ["policy"]))
