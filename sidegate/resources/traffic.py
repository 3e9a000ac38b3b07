"""What passes now, everywhere."""

from collections.abc import AsyncIterator

from sidegate.api.endpoint.v1 import traffic_pb2 as rpc
from sidegate.api.endpoint.v1.traffic_pb2_grpc import TrafficServiceStub
from sidegate.transport import Caller


class Traffic:
    """Of one endpoint `endpoints.traffic` tells more, of one service `connections.traffic`."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, TrafficServiceStub(caller.channel)

    async def list(self) -> AsyncIterator[rpc.PassingTraffic]:
        """How much passes for each of the project's endpoints, and each connection of its services: those that are idle
        are left out."""
        async for page in self._caller.pages(self._stub.ListTraffic, rpc.ListTrafficRequest(page_size=1000)):
            for passing in page.passing:
                yield passing
