"""A gateway agent as it answers on its own machine."""

from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.gateway.v1 import gateway_service_pb2 as rpc
from sidegate.api.gateway.v1 import traffic_pb2
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

    async def traffic(
        self,
        order: "traffic_pb2.GetTrafficRequest.Order.ValueType" = traffic_pb2.GetTrafficRequest.ORDER_BYTES,
        *,
        limit: int = 0,
    ) -> traffic_pb2.GetTrafficResponse:
        """What has passed, and what has not: the endpoints with the most of it, 20 where no limit is given."""
        request = traffic_pb2.GetTrafficRequest(order=order, limit=limit)
        return await self._caller.ask(self._stub.GetTraffic, request, LONGEST_TIMEOUT_SECONDS)
