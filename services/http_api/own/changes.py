"""What the watch calls of the two services tell, as the API has it."""

from collections.abc import AsyncGenerator, Collection, Sequence
from typing import get_args

from google.protobuf.message import Message

from services.http_api.own.models import Change, Kind
from services.http_api.own.places import Place, Source
from services.http_api.upstream import Acting
from sidegate.api.endpoint.v1 import watch_pb2 as endpoint_watch
from sidegate.api.registry.v1 import watch_pb2 as registry_watch
from sidegate.cli import facts

Told = registry_watch.WatchResponse | endpoint_watch.WatchEndpointsResponse | endpoint_watch.WatchConnectionsResponse
Changed = registry_watch.ResourceChange | endpoint_watch.EndpointChange | endpoint_watch.ConnectionChange

KINDS: Sequence[Kind] = get_args(Kind)
OF_REGISTRY = {
    "vpc": registry_watch.RESOURCE_KIND_VPC,
    "subnet": registry_watch.RESOURCE_KIND_SUBNET,
    "port": registry_watch.RESOURCE_KIND_PORT,
    "attachment": registry_watch.RESOURCE_KIND_ATTACHMENT,
    "service": registry_watch.RESOURCE_KIND_SERVICE,
    "route_table": registry_watch.RESOURCE_KIND_ROUTE_TABLE,
}


def source_of(kind: str) -> Source:
    """Which call tells of a kind."""
    if kind in OF_REGISTRY:
        return Source.REGISTRY
    return Source.ENDPOINTS if kind == "endpoint" else Source.CONNECTIONS


def watch(
    caller: Acting, source: Source, place: Place, kinds: Collection[str], id_: str = ""
) -> AsyncGenerator[Told, None]:
    """What is told from a place on, of these kinds, or of one resource."""
    upstream, log_id, epoch = caller.upstream, place.log_id, place.epoch
    match source:
        case Source.REGISTRY:
            chosen = [OF_REGISTRY[kind] for kind in kinds if kind in OF_REGISTRY]
            asked = registry_watch.WatchRequest(after=place.after, log_id=log_id, epoch=epoch, kinds=chosen, id=id_)
            return caller.stream(upstream.registry.Watch, asked)
        case Source.ENDPOINTS:
            endpoints = endpoint_watch.WatchEndpointsRequest(after=place.after, log_id=log_id, epoch=epoch, id=id_)
            return caller.stream(upstream.endpoints.WatchEndpoints, endpoints)
        case Source.CONNECTIONS:
            connections = endpoint_watch.WatchConnectionsRequest(
                after=place.after, log_id=log_id, epoch=epoch, endpoint_id=id_
            )
            return caller.stream(upstream.connections.WatchConnections, connections)


def change_of(change: Changed) -> Change:
    kind, resource = _resource(change)
    return Change(
        position=change.position,
        time=change.time.ToJsonString(),
        kind=kind,
        what=change.what,
        deleted=change.deleted,
        resource=facts.of(resource),
    )


def _resource(change: Changed) -> tuple[Kind, Message]:
    match change:
        case endpoint_watch.EndpointChange():
            return "endpoint", change.endpoint
        case endpoint_watch.ConnectionChange():
            return "connection", change.connection
        case registry_watch.ResourceChange():
            name = change.WhichOneof("resource") or "service"
            return name, getattr(change, name)
