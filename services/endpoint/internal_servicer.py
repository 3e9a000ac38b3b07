"""What the registry asks."""

from services.common.rpc.calls import Context
from services.endpoint.application.endpoints import Endpoints
from sidegate.api.endpoint.v1 import endpoint_internal_service_pb2 as internal_pb
from sidegate.api.endpoint.v1 import endpoint_internal_service_pb2_grpc as internal_grpc


class EndpointInternalServicer(internal_grpc.EndpointInternalServiceServicer):
    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    async def CheckEndpoints(
        self, request: internal_pb.CheckEndpointsRequest, context: Context
    ) -> internal_pb.CheckEndpointsResponse:
        there = await self._endpoints.there(request.endpoint_ids)
        return internal_pb.CheckEndpointsResponse(endpoint_ids=there)

    async def ListBlockers(
        self, request: internal_pb.ListBlockersRequest, context: Context
    ) -> internal_pb.ListBlockersResponse:
        blockers = await self._endpoints.blockers(request.service_id)
        return internal_pb.ListBlockersResponse(endpoint_ids=blockers)
