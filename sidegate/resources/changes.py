"""Watching the registry's resources, of one kind or of all."""

from collections.abc import AsyncGenerator, Sequence

from sidegate.api.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from sidegate.api.registry.v1.watch_pb2 import ResourceKind, WatchRequest, WatchResponse
from sidegate.transport import Caller
from sidegate.watching import Begin, Interrupted, Place, Watch


def watch_registry(
    caller: Caller,
    kinds: Sequence[ResourceKind.ValueType] = (),
    *,
    id: str = "",
    after: Begin = None,
    interrupted: Interrupted | None = None,
) -> Watch[WatchResponse]:
    """What happens to the caller's resources of these kinds (all where there are none), or to the one."""
    stub = RegistryServiceStub(caller.channel)

    def ask(place: Place) -> AsyncGenerator[WatchResponse, None]:
        request = WatchRequest(after=place.after, log_id=place.log_id, epoch=place.epoch, kinds=kinds, id=id)
        return caller.stream(stub.Watch, request)

    return Watch(ask, after, interrupted)
