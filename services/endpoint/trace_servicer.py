"""What becomes of packets, asked by the operator and by endpoints' owners."""

from services.common.rpc.auth import principal, require_operator
from services.common.rpc.calls import Context
from services.endpoint.application.traces import PacketTraces
from services.endpoint.domain import passage
from services.endpoint.wire.passage import gateway_trace, opening_of, passage_message
from services.endpoint.wire.request import uuid_of
from sidegate.api.endpoint.v1 import trace_service_pb2 as trace_pb
from sidegate.api.endpoint.v1.trace_service_pb2_grpc import TraceServiceServicer


class TraceServicer(TraceServiceServicer):
    def __init__(self, traces: PacketTraces) -> None:
        self._traces = traces

    async def TracePacket(self, request: trace_pb.TracePacketRequest, context: Context) -> trace_pb.TracePacketResponse:
        by, endpoint = require_operator(), uuid_of(request.endpoint_id, "endpoint_id")
        traces = await self._traces.of_packet(endpoint, opening_of(request.opening), request.gateway, by)
        facts = traces.facts
        return trace_pb.TracePacketResponse(
            endpoint_id=endpoint,
            marker_id=facts.marker,
            generation=facts.generation,
            account=facts.owner.account,
            project=facts.owner.project,
            service_id=facts.service,
            traces=[gateway_trace(gateway, finding) for gateway, finding in traces.found.items()],
        )

    async def TraceEndpoint(
        self, request: trace_pb.TraceEndpointRequest, context: Context
    ) -> trace_pb.TraceEndpointResponse:
        endpoint = uuid_of(request.id, "id")
        steps = await self._traces.of_endpoint(endpoint, opening_of(request.opening), principal())
        return trace_pb.TraceEndpointResponse(
            endpoint_id=endpoint, passes=passage.passes(steps), steps=map(passage_message, steps)
        )
