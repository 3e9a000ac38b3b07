"""Connections of a service: listed, accepted, rejected, described, for the service's owner."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from services.http_api.auth.caller import ProjectCaller, SignedRoute
from services.http_api.errors import Refused
from services.http_api.upstream import Acting
from services.http_api.vpcep.endpoint_mapping import STATUSES, errors_of
from services.http_api.vpcep.ids import is_id, required
from services.http_api.vpcep.listing import ListQuery, part
from services.http_api.vpcep.models import Answer, Body, EndpointError, Optionally, moment
from services.http_api.vpcep.service_models import Said
from services.http_api.vpcep.services import get
from sidegate import errors
from sidegate.api.endpoint.v1 import endpoint_service_pb2 as rpc
from sidegate.api.endpoint.v1.endpoint_pb2 import Connection as Found

router = APIRouter(
    prefix="/v1/{project_id}/vpc-endpoint-services/{vpc_endpoint_service_id}/connections",
    tags=["connections"],
    route_class=SignedRoute,
)

Status = Literal["pendingAcceptance", "creating", "accepted", "rejected", "failed", "deleting"]
BAD_ID, ONE_AT_A_TIME, OTHER_SERVICE = "2017", "2031", "2013"


class ConnectionsQuery(ListQuery):
    id: Annotated[str, Field(max_length=64)] = ""
    marker_id: Annotated[Annotated[int, Field(ge=1, lt=2**63)] | None, Optionally] = None
    status: Annotated[Status | None, Optionally] = None


class DecisionBody(Body):
    action: Literal["receive", "reject"]
    endpoints: Annotated[list[str], Field(max_length=1000)]


class Note(Body):
    id: Annotated[str, Field(max_length=64)]
    description: Said


class NotesBody(Body):
    connections: Annotated[list[Note], Field(min_length=1, max_length=100)]


class Connection(Answer):
    id: str
    marker_id: int
    created_at: str
    updated_at: str
    domain_id: str
    status: str
    description: str
    error: list[EndpointError]


class ConnectionsAnswer(Answer):
    connections: list[Connection]


class ConnectionsPage(ConnectionsAnswer):
    total_count: int


def _shown(found: Found) -> Connection:
    return Connection(
        id=found.endpoint_id,
        marker_id=found.marker_id,
        created_at=moment(found.create_time),
        updated_at=moment(found.update_time),
        domain_id=found.account,
        status=STATUSES[found.state],
        description=found.note,
        error=errors_of(found.state, ""),
    )


@router.get("", operation_id="ListServiceConnections")
async def list_connections(
    caller: ProjectCaller, vpc_endpoint_service_id: str, query: Annotated[ConnectionsQuery, Query()]
) -> ConnectionsPage:
    service = await get(caller, vpc_endpoint_service_id)
    if query.id and not is_id(query.id):
        return ConnectionsPage(connections=[], total_count=0)
    request = rpc.ListConnectionsRequest(
        service_id=service.id,
        endpoint_ids=[query.id.lower()] if query.id else [],
        states=[state for state, word in STATUSES.items() if word == query.status],
        marker_id=query.marker_id or 0,
    )
    found = await part(caller, caller.upstream.connections.ListConnections, request, "connections", query)
    return ConnectionsPage(connections=[_shown(each) for each in found.items], total_count=found.total)


@router.post("/action", operation_id="AcceptOrRejectEndpoint")
async def decide(caller: ProjectCaller, vpc_endpoint_service_id: str, body: DecisionBody) -> ConnectionsAnswer:
    """Accepts or rejects one connection. Again is not an error."""
    service = await get(caller, vpc_endpoint_service_id)
    if len(body.endpoints) != 1:
        raise Refused(ONE_AT_A_TIME)
    endpoint_id, stub = required(body.endpoints[0], BAD_ID), caller.upstream.connections
    try:
        if body.action == "receive":
            accept = rpc.AcceptConnectionRequest(service_id=service.id, endpoint_id=endpoint_id)
            found = await caller.write(stub.AcceptConnection, accept)
        else:
            reject = rpc.RejectConnectionRequest(service_id=service.id, endpoint_id=endpoint_id)
            found = await caller.write(stub.RejectConnection, reject)
    except errors.NotFound as error:
        raise Refused(OTHER_SERVICE, error.text) from error
    return ConnectionsAnswer(connections=[_shown(found)])


@router.put("/description", operation_id="UpdateEndpointConnectionsDesc")
async def describe(caller: ProjectCaller, vpc_endpoint_service_id: str, body: NotesBody) -> ConnectionsAnswer:
    """Puts the owner's notes on connections; consumers are not shown them."""
    service = await get(caller, vpc_endpoint_service_id)
    ids = [required(each.id, BAD_ID) for each in body.connections]
    for id_ in ids:  # all of them are there, before anything is written
        await _known(caller, service.id, id_)
    notes = [each.description for each in body.connections]
    return ConnectionsAnswer(
        connections=[
            _shown(await _note(caller, service.id, id_, note, place))
            for place, (id_, note) in enumerate(zip(ids, notes, strict=True))
        ]
    )


async def _known(caller: Acting, service_id: str, endpoint_id: str) -> Found:
    request = rpc.GetConnectionRequest(service_id=service_id, endpoint_id=endpoint_id)
    try:
        return await caller.ask(caller.upstream.connections.GetConnection, request)
    except errors.NotFound as error:
        raise Refused(OTHER_SERVICE, error.text) from error


async def _note(caller: Acting, service_id: str, endpoint_id: str, note: str, place: int) -> Found:
    request = rpc.NoteConnectionRequest(
        service_id=service_id, endpoint_id=endpoint_id, note=note, request_id=caller.part(place)
    )
    return await caller.write(caller.upstream.connections.NoteConnection, request)
