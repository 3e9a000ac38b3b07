"""Gateways: all of them as the endpoint service knows them, and one as its agent answers on its own machine."""

from collections.abc import AsyncGenerator, AsyncIterator

from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.endpoint.v1 import gateways_service_pb2 as gateways_rpc
from sidegate.api.endpoint.v1.gateways_service_pb2_grpc import GatewaysServiceStub
from sidegate.api.gateway.v1 import gateway_service_pb2 as rpc
from sidegate.api.gateway.v1 import tap_service_pb2 as tap
from sidegate.api.gateway.v1 import traffic_pb2
from sidegate.api.gateway.v1.gateway_service_pb2_grpc import TableServiceStub
from sidegate.api.gateway.v1.tap_service_pb2_grpc import TapServiceStub
from sidegate.transport import LONGEST_TIMEOUT_SECONDS, Caller


class Gateways:
    """Those of all cells. For the operator."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, GatewaysServiceStub(caller.channel)

    async def list(self, *, cell: str = "") -> AsyncIterator[gateways_rpc.Gateway]:
        """Those that are joined or lost, in order of their ids."""
        request = gateways_rpc.ListGatewaysRequest(cell=cell)
        async for page in self._caller.pages(self._stub.ListGateways, request):
            for gateway in page.gateways:
                yield gateway


class Gateway:
    """The agent behind one unix socket."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub, self._tap = caller, TableServiceStub(caller.channel), TapServiceStub(caller.channel)

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

    def flows(
        self, *, endpoint_id: str = "", newest: int = 0, follow: bool = True
    ) -> AsyncGenerator[tap.FollowFlowsResponse, None]:
        """Sessions as they end: the newest that have ended, and with `follow` each that does; of one endpoint, or all.

        Raises WrongState while the gateway keeps no flow log.
        """
        request = tap.FollowFlowsRequest(endpoint_id=endpoint_id, newest=newest, follow=follow)
        return self._caller.stream(self._tap.FollowFlows, request)

    def capture(
        self,
        endpoint_id: str,
        *,
        packets: int = 0,
        seconds: float = 0,
        bytes: int = 0,
        snap_length: int = 0,
        who: str = "",
    ) -> AsyncGenerator[tap.CaptureResponse, None]:
        """Packets of an endpoint, on both sides of the gateway, until a limit is reached or it is closed; 0: the most.

        First comes the head, at last the end. `who` is written in the gateway's log.
        """
        request = tap.CaptureRequest(
            endpoint_id=endpoint_id, packets=packets, bytes=bytes, snap_length=snap_length, who=who
        )
        if seconds:
            request.within.FromNanoseconds(int(seconds * 1e9))
        return self._caller.stream(self._tap.Capture, request)
