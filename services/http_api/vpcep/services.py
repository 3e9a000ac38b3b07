"""Endpoint services: published, listed, changed, renamed, deleted, described."""

from collections.abc import Sequence
from typing import Annotated, cast

from fastapi import APIRouter, Query, Response
from google.protobuf.field_mask_pb2 import FieldMask

from services.common.principal import OPERATOR
from services.http_api.auth.caller import CREATES, ProjectCaller, SignedRoute
from services.http_api.errors import Refused
from services.http_api.upstream import Acting
from services.http_api.vpcep import service_mapping as mapping
from services.http_api.vpcep.ids import is_id, required
from services.http_api.vpcep.listing import everything, part
from services.http_api.vpcep.service_models import (
    CreateServiceBody,
    DescribeQuery,
    Description,
    PublicQuery,
    PublicServicesAnswer,
    RenameAnswer,
    RenameBody,
    Service,
    ServicesAnswer,
    ServicesQuery,
    UpdateServiceBody,
)
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState
from sidegate.api.endpoint.v1.endpoint_service_pb2 import ListConnectionCountsRequest
from sidegate.api.registry.v1 import registry_service_pb2 as rpc
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService

router = APIRouter(prefix="/v1/{project_id}/vpc-endpoint-services", tags=["services"], route_class=SignedRoute)

NOT_THERE = "0005"
OVER = frozenset({EndpointService.STATE_DELETING, EndpointService.STATE_DELETED})
CONNECTED = (ConnectionState.CONNECTION_STATE_CREATING, ConnectionState.CONNECTION_STATE_ACCEPTED)


async def get(caller: Acting, service_id: str) -> EndpointService:
    """A service of the caller's. Raises Refused and SidegateError."""
    request = rpc.GetEndpointServiceRequest(id=required(service_id, NOT_THERE))
    return await caller.ask(caller.upstream.registry.GetEndpointService, request)


async def every(caller: Acting) -> list[EndpointService]:
    request = rpc.ListEndpointServicesRequest()
    found = await everything(caller, caller.upstream.registry.ListEndpointServices, request, "endpoint_services")
    return cast("list[EndpointService]", found)


async def update(caller: Acting, service: EndpointService, paths: Sequence[str]) -> EndpointService:
    request = rpc.UpdateEndpointServiceRequest(endpoint_service=service, update_mask=FieldMask(paths=paths))
    return await caller.write(caller.upstream.registry.UpdateEndpointService, request)


async def _require_ports_free(caller: Acting, service_id: str, port_id: str, wanted: EndpointService) -> None:
    """Services that share a port of ours do not share a port of its machine."""
    if not port_id:
        return
    asked = {(each.server_port, each.protocol) for each in wanted.port_mappings}
    for other in await every(caller):
        if other.id == service_id or other.state in OVER or mapping.port_of(other) != port_id:
            continue
        if clash := asked & {(each.server_port, each.protocol) for each in other.port_mappings}:
            if not service_id and caller.wish.request_id and wanted.name and wanted.name == other.name:
                return  # said again, it gives its first answer; else the registry refuses the name
            raise Refused("3044", f"Service {other.full_name} has server port {min(clash)[0]} of this port_id.")


@router.post("", operation_id="CreateEndpointService", openapi_extra=CREATES)
async def create_service(caller: ProjectCaller, body: CreateServiceBody) -> Service:
    wanted = mapping.wanted(body)
    required(body.vpc_id, "0020")
    await _require_ports_free(caller, "", required(body.port_id, "3003"), wanted)
    request = rpc.CreateEndpointServiceRequest(endpoint_service=wanted)
    return mapping.shown(await caller.write(caller.upstream.registry.CreateEndpointService, request))


@router.get("", operation_id="ListEndpointService")
async def list_services(caller: ProjectCaller, query: Annotated[ServicesQuery, Query()]) -> ServicesAnswer:
    if query.id and not is_id(query.id):
        return ServicesAnswer(endpoint_services=[], total_count=0)
    request = rpc.ListEndpointServicesRequest(
        ids=[query.id.lower()] if query.id else [],
        states=mapping.states(query.status),
        full_name_contains=query.endpoint_service_name,
        server_type=mapping.SERVERS.get(query.server_type, EndpointService.SERVER_TYPE_UNSPECIFIED),
    )
    found = await part(caller, caller.upstream.registry.ListEndpointServices, request, "endpoint_services", query)
    wanted = ListConnectionCountsRequest(service_ids=[each.id for each in found.items], states=CONNECTED)
    counts = (await caller.ask(caller.upstream.connections.ListConnectionCounts, wanted)).counts
    shown = [mapping.listed(each, counts[each.id]) for each in found.items]
    return ServicesAnswer(endpoint_services=shown, total_count=found.total)


@router.get("/public", operation_id="ListServicePublicDetails")
async def list_public(caller: ProjectCaller, query: Annotated[PublicQuery, Query()]) -> PublicServicesAnswer:
    """The platform's services, which everybody may connect to."""
    if query.id and not is_id(query.id):
        return PublicServicesAnswer(endpoint_services=[], total_count=0)
    request = rpc.ListPlatformServicesRequest(
        ids=[query.id.lower()] if query.id else [], full_name_contains=query.endpoint_service_name
    )
    in_order = query.model_copy(update={"sort_key": None})  # of change they say nothing
    found = await part(caller, caller.upstream.registry.ListPlatformServices, request, "services", in_order)
    shown = [mapping.public(each, OPERATOR) for each in found.items]
    return PublicServicesAnswer(endpoint_services=shown, total_count=found.total)


@router.get("/describe", operation_id="ListServiceDescribeDetails")
async def describe(caller: ProjectCaller, query: Annotated[DescribeQuery, Query()]) -> Description:
    """A service that the caller may connect to, by its full name or its id."""
    if bool(query.id) == bool(query.endpoint_service_name):
        raise Refused("0002", "Give either id or endpoint_service_name.")
    named = required(query.id, NOT_THERE) if query.id else query.endpoint_service_name
    request = rpc.LookupEndpointServiceRequest(service=named)
    return mapping.described(await caller.ask(caller.upstream.registry.LookupEndpointService, request))


@router.get("/{vpc_endpoint_service_id}", operation_id="ListServiceDetails")
async def get_service(caller: ProjectCaller, vpc_endpoint_service_id: str) -> Service:
    return mapping.shown(await get(caller, vpc_endpoint_service_id))


@router.put("/{vpc_endpoint_service_id}", operation_id="UpdateEndpointService")
async def update_service(caller: ProjectCaller, vpc_endpoint_service_id: str, body: UpdateServiceBody) -> Service:
    if body.port_id and body.ip:
        raise Refused("3052")
    known = await get(caller, vpc_endpoint_service_id)
    wanted, paths = mapping.changed(body, known)
    if not paths:
        return mapping.shown(known)
    after = EndpointService(port_mappings=wanted.port_mappings or known.port_mappings)
    port_id = required(body.port_id, "3003") if body.port_id else mapping.port_of(known)
    if {"port_mappings", "backends"}.intersection(paths):
        await _require_ports_free(caller, known.id, port_id, after)
    return mapping.shown(await update(caller, wanted, paths))


@router.delete("/{vpc_endpoint_service_id}", operation_id="DeleteEndpointService", status_code=204)
async def delete_service(caller: ProjectCaller, vpc_endpoint_service_id: str) -> Response:
    known = await get(caller, vpc_endpoint_service_id)
    request = rpc.DeleteEndpointServiceRequest(id=known.id)
    await caller.write(caller.upstream.registry.DeleteEndpointService, request)
    return Response(status_code=204)


@router.put("/{vpc_endpoint_service_id}/name", operation_id="UpdateEndpointServiceName")
async def rename_service(caller: ProjectCaller, vpc_endpoint_service_id: str, body: RenameBody) -> RenameAnswer:
    id_ = required(vpc_endpoint_service_id, NOT_THERE)
    found = await update(caller, EndpointService(id=id_, name=body.endpoint_service_name), ["name"])
    return RenameAnswer(endpoint_service_name=found.full_name)
