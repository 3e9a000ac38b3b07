"""The endpoint service, asked by gRPC."""

from collections.abc import Collection, Sequence
from typing import TypeVar

import grpc

from services.common.errors import Unavailable
from sidegate import errors, transport
from sidegate.api.endpoint.v1 import endpoint_internal_service_pb2 as internal_pb2
from sidegate.api.endpoint.v1 import endpoint_internal_service_pb2_grpc as internal_grpc

Q = TypeVar("Q")
A = TypeVar("A")


class EndpointClient:
    """Endpoints at "host:port"."""

    def __init__(self, address: str, access: transport.Access) -> None:
        self._caller = transport.Caller(address, access)
        self._stub = internal_grpc.EndpointInternalServiceStub(self._caller.channel)

    async def known(self, endpoint_ids: Collection[str]) -> set[str]:
        request = internal_pb2.CheckEndpointsRequest(endpoint_ids=endpoint_ids)
        return set((await self._ask(self._stub.CheckEndpoints, request)).endpoint_ids)

    async def blockers(self, service_id: str) -> Sequence[str]:
        request = internal_pb2.ListBlockersRequest(service_id=service_id)
        return (await self._ask(self._stub.ListBlockers, request)).endpoint_ids

    async def close(self) -> None:
        await self._caller.close()

    async def _ask(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, A], request: Q) -> A:
        try:
            return await self._caller.ask(method, request)
        except errors.SidegateError as error:
            text = "the endpoint service does not answer as it should: try again later"
            raise Unavailable("ENDPOINT_UNAVAILABLE", text) from error
