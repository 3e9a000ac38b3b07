"""The endpoint service's traces: answers that were put here."""

from sidegate.api.endpoint.v1 import trace_service_pb2 as trace_pb
from sidegate.api.endpoint.v1.trace_service_pb2_grpc import TraceServiceServicer
from tests.support.fake_sidegate.shelf import Context


class FakeTraces(TraceServiceServicer):
    """Writes down what it was asked."""

    def __init__(self) -> None:
        self.packet = trace_pb.TracePacketResponse()
        self.endpoint = trace_pb.TraceEndpointResponse()
        self.asked: list[trace_pb.TracePacketRequest | trace_pb.TraceEndpointRequest] = []

    async def TracePacket(self, request: trace_pb.TracePacketRequest, context: Context) -> trace_pb.TracePacketResponse:
        self.asked.append(request)
        return self.packet

    async def TraceEndpoint(
        self, request: trace_pb.TraceEndpointRequest, context: Context
    ) -> trace_pb.TraceEndpointResponse:
        self.asked.append(request)
        return self.endpoint
