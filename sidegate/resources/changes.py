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


class Changes:
    """All that happens in the registry, in one watch."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def watch(
        self,
        kinds: Sequence[ResourceKind.ValueType] = (),
        *,
        after: Begin = None,
        interrupted: Interrupted | None = None,
    ) -> Watch[WatchResponse]:
        """What happens to the resources of these kinds; of all that the caller may see where there are none."""
        return watch_registry(self._caller, kinds, after=after, interrupted=interrupted)
