"""A gateway agent as it answers on its own machine."""

from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.gateway.v1 import gateway_service_pb2 as rpc
from sidegate.api.gateway.v1.gateway_service_pb2_grpc import TableServiceStub
from sidegate.transport import LONGEST_TIMEOUT_SECONDS, Caller


class Gateway:
    """The agent behind one unix socket."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, TableServiceStub(caller.channel)

    async def table(
        self,
        source: "rpc.GetTableRequest.Source.ValueType" = rpc.GetTableRequest.SOURCE_KERNEL,
        *,
        position: int = 0,
        time: Timestamp | None = None,
    ) -> rpc.GetTableResponse:
        """The forwarding table: the kernel's, the desired one, or a replay of the log up to a position or moment."""
        request = rpc.GetTableRequest(source=source, position=position, time=time)
        return await self._caller.ask(self._stub.GetTable, request, LONGEST_TIMEOUT_SECONDS)

    async def status(self) -> rpc.GetStatusResponse:
        return await self._caller.ask(self._stub.GetStatus, rpc.GetStatusRequest())
