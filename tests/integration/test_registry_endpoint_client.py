"""How the registry asks the endpoint service, and what it makes of silence."""

from collections.abc import AsyncIterator

import pytest

from services.common.errors import Refused, Unavailable
from services.common.rpc.calls import Context
from services.common.rpc.server import Hosted, RpcServer
from services.registry.endpoint_client import EndpointClient
from sidegate.api.endpoint.v1 import endpoint_internal_service_pb2 as internal_pb2
from sidegate.api.endpoint.v1 import endpoint_internal_service_pb2_grpc as internal_grpc
from tests.support import identity


class Endpoints(internal_grpc.EndpointInternalServiceServicer):
    """Knows the endpoints "a" and "b", and that "a" stands in every service's way."""

    def __init__(self) -> None:
        self.refusal: Refused | None = None

    async def CheckEndpoints(
        self, request: internal_pb2.CheckEndpointsRequest, context: Context
    ) -> internal_pb2.CheckEndpointsResponse:
        self._answer()
        return internal_pb2.CheckEndpointsResponse(endpoint_ids=sorted({"a", "b"}.intersection(request.endpoint_ids)))

    async def ListBlockers(
        self, request: internal_pb2.ListBlockersRequest, context: Context
    ) -> internal_pb2.ListBlockersResponse:
        self._answer()
        return internal_pb2.ListBlockersResponse(endpoint_ids=["a"])

    def _answer(self) -> None:
        if self.refusal:
            raise self.refusal


@pytest.fixture
def endpoints() -> Endpoints:
    return Endpoints()


@pytest.fixture
async def client(endpoints: Endpoints) -> AsyncIterator[EndpointClient]:
    name = "sidegate.api.endpoint.v1.EndpointInternalService"
    hosted = Hosted(name, lambda server: internal_grpc.add_EndpointInternalServiceServicer_to_server(endpoints, server))
    server = RpcServer(identity.internal(), [hosted])
    client = EndpointClient(await server.start(), identity.program("registry"))
    yield client
    await client.close()
    await server.stop(0)


SERVICE = "00000000-0000-4000-8000-000000000005"


async def test_it_learns_who_is_there_and_who_stands_in_the_way(client: EndpointClient) -> None:
    assert await client.known({"a", "c"}) == {"a"}
    assert list(await client.blockers(SERVICE)) == ["a"]


@pytest.mark.parametrize("refusal", [Refused("BROKEN", "broken"), Unavailable("STORE_UNAVAILABLE", "away")])
async def test_no_proper_answer_means_that_it_is_away(
    client: EndpointClient, endpoints: Endpoints, refusal: Refused
) -> None:
    endpoints.refusal = refusal
    with pytest.raises(Unavailable):
        await client.known({"a"})


async def test_a_program_that_is_not_there_is_away() -> None:
    server = RpcServer(identity.internal(), [])
    address = await server.start()
    await server.stop(0)
    client = EndpointClient(address, identity.program("registry"))
    try:
        with pytest.raises(Unavailable):
            await client.blockers(SERVICE)
    finally:
        await client.close()
