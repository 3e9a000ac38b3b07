"""What becomes of a client's packet."""

from sidegate.api.endpoint.v1 import trace_service_pb2 as rpc
from sidegate.api.endpoint.v1.packet_trace_pb2 import Opening
from sidegate.api.endpoint.v1.trace_service_pb2_grpc import TraceServiceStub
from sidegate.transport import Caller


class Traces:
    """Packets that are not sent: gateways say what they would make of them."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, TraceServiceStub(caller.channel)

    async def packet(self, endpoint_id: str, opening: Opening, *, gateway: str = "") -> rpc.TracePacketResponse:
        """Step by step on each gateway of the endpoint's cell, or on one. For the operator."""
        request = rpc.TracePacketRequest(endpoint_id=endpoint_id, opening=opening, gateway=gateway)
        return await self._caller.ask(self._stub.TracePacket, request)

    async def endpoint(self, id: str, opening: Opening) -> rpc.TraceEndpointResponse:
        """Whether it would pass. For the endpoint's owner."""
        return await self._caller.ask(self._stub.TraceEndpoint, rpc.TraceEndpointRequest(id=id, opening=opening))
