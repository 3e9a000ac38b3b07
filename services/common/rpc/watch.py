"""Requests to watch, as every service reads them."""

from services.common.principal import Principal
from services.common.watching.beginning import Place
from services.common.watching.sight import Watch, Wish, audiences_of
from sidegate.api.endpoint.v1.watch_pb2 import WatchConnectionsRequest, WatchEndpointsRequest
from sidegate.api.events.v1.log_pb2 import FollowLogRequest
from sidegate.api.registry.v1.watch_pb2 import WatchRequest

Request = WatchRequest | WatchEndpointsRequest | WatchConnectionsRequest | FollowLogRequest


def place_of(request: Request) -> Place:
    """Where a watch is to begin."""
    return Place(request.after if request.HasField("after") else None, request.log_id, request.epoch)


def watch_of(caller: Principal, wish: Wish) -> Watch:
    """What the caller sees of what he wishes for."""
    return Watch(caller.account, audiences_of(caller), wish)
