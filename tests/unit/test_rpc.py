"""gRPC as every program serves it: identity, limits, errors, deadlines, health, reflection."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from services.common import errors
from services.common.eventsourcing import store
from services.common.principal import Principal
from services.common.program import CannotListen
from services.common.rpc import guard, paging
from services.common.rpc.auth import NotProved, principal, require_operator
from services.common.rpc.calls import Context
from services.common.rpc.errors import CODES, code_of, refusal_of, status_of
from services.common.rpc.probe import is_healthy
from services.common.rpc.recognition import Overreach
from services.common.rpc.server import Hosted, RpcServer
from sidegate.api.endpoint.v1 import (
    endpoint_pb2,
    endpoint_service_pb2,
    endpoint_service_pb2_grpc,
    reachability_pb2,
    traffic_pb2,
    watch_pb2,
)
from sidegate.api.registry.v1 import quota_pb2
from sidegate.transport import Metadata
from tests.support import identity

AN_ID = "7f6f1a1e-31ed-4e1b-9a62-0d3f1c3a9e11"


class Endpoints(endpoint_service_pb2_grpc.EndpointsServiceServicer):
    """Answers with the principal's name, or raises what it was told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.pause: asyncio.Event | None = None

    async def CreateEndpoint(self, request: Any, context: Context) -> endpoint_pb2.Endpoint:
        return endpoint_pb2.Endpoint(name=str(principal()))

    async def GetEndpoint(self, request: Any, context: Context) -> endpoint_pb2.Endpoint:
        if self.pause:
            await self.pause.wait()
        if self.error:
            raise self.error
        return endpoint_pb2.Endpoint(name=str(principal()))

    async def ListEndpoints(self, request: Any, context: Context) -> endpoint_service_pb2.ListEndpointsResponse:
        return endpoint_service_pb2.ListEndpointsResponse()

    async def UpdateEndpoint(self, request: Any, context: Context) -> endpoint_pb2.Endpoint:
        return endpoint_pb2.Endpoint(name=str(principal()))

    async def DeleteEndpoint(self, request: Any, context: Context) -> endpoint_pb2.Endpoint:
        require_operator()
        return endpoint_pb2.Endpoint()

    async def ListEndpointTags(self, request: Any, context: Context) -> endpoint_service_pb2.ListEndpointTagsResponse:
        return endpoint_service_pb2.ListEndpointTagsResponse()

    async def WatchEndpoints(self, request: Any, context: Context) -> AsyncIterator[watch_pb2.WatchEndpointsResponse]:
        yield watch_pb2.WatchEndpointsResponse(log_id=str(principal()))

    async def GetEndpointQuota(self, request: Any, context: Context) -> quota_pb2.Quota:
        return quota_pb2.Quota()

    async def TestEndpoint(self, request: Any, context: Context) -> reachability_pb2.TestEndpointResponse:
        return reachability_pb2.TestEndpointResponse()

    async def GetEndpointTraffic(self, request: Any, context: Context) -> traffic_pb2.GetEndpointTrafficResponse:
        return traffic_pb2.GetEndpointTrafficResponse()


def somebody() -> Metadata:
    """With a token of this moment: one that was made when the tests were collected may have ended before they run."""
    return identity.metadata("acme", "web")


def hosted(servicer: Endpoints) -> Hosted:
    name = "sidegate.api.endpoint.v1.EndpointsService"
    return Hosted(
        name, lambda server: endpoint_service_pb2_grpc.add_EndpointsServiceServicer_to_server(servicer, server)
    )


@pytest.fixture
async def endpoints() -> Endpoints:
    return Endpoints()


@pytest.fixture
async def address(endpoints: Endpoints) -> AsyncIterator[str]:
    server = RpcServer(identity.public(), [hosted(endpoints)])
    yield await server.start()
    await server.stop(grace=0)


@pytest.fixture
async def stub(address: str) -> AsyncIterator[endpoint_service_pb2_grpc.EndpointsServiceStub]:
    async with identity.channel(address) as channel:
        yield endpoint_service_pb2_grpc.EndpointsServiceStub(channel)


Stub = endpoint_service_pb2_grpc.EndpointsServiceStub


def status_in(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    trailing = dict(error.trailing_metadata() or ())
    return status_pb2.Status.FromString(trailing["grpc-status-details-bin"])


def details_in(error: grpc.aio.AioRpcError, kind: type[Any]) -> Any:
    for detail in status_in(error).details:
        if detail.Is(kind.DESCRIPTOR):
            message = kind()
            detail.Unpack(message)
            return message
    raise AssertionError(f"no {kind.__name__} in {error}")


async def test_the_principal_is_who_the_token_says(stub: Stub) -> None:
    answer = await stub.GetEndpoint(endpoint_service_pb2.GetEndpointRequest(id=AN_ID), metadata=somebody())
    assert answer.name == "acme/web"


async def test_one_callers_name_is_not_anothers(stub: Stub) -> None:
    async def ask(account: str) -> str:
        metadata = identity.metadata(account, "p")
        return (await stub.GetEndpoint(endpoint_service_pb2.GetEndpointRequest(id=AN_ID), metadata=metadata)).name

    names = [f"a{number}" for number in range(50)]
    assert await asyncio.gather(*map(ask, names)) == [f"{name}/p" for name in names]


async def test_what_is_the_operators_in_its_own_name_is_refused_to_others(stub: Stub) -> None:
    request = endpoint_service_pb2.DeleteEndpointRequest(id=AN_ID)
    acting = (*identity.metadata("operator"), ("sidegate-account", "acme"))
    for metadata in (somebody(), acting):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.DeleteEndpoint(request, metadata=metadata)
        assert raised.value.code() == grpc.StatusCode.PERMISSION_DENIED
    await stub.DeleteEndpoint(request, metadata=identity.metadata("operator"))


async def test_a_field_beyond_its_limits_is_named(stub: Stub) -> None:
    request = endpoint_service_pb2.CreateEndpointRequest(
        endpoint=endpoint_pb2.Endpoint(service="s", subnet_id=AN_ID, allowed_cidrs=["10.0.0.0/24", "1" * 50])
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.CreateEndpoint(request, metadata=somebody())
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    violation = details_in(raised.value, error_details_pb2.BadRequest).field_violations[0]
    assert violation.field == "endpoint.allowed_cidrs[1]"


@pytest.mark.parametrize("kind", list(CODES), ids=lambda kind: str(kind.__name__))
async def test_every_refusal_arrives_with_its_code_reason_and_details(
    kind: type[errors.Refused], endpoints: Endpoints, stub: Stub
) -> None:
    endpoints.error = (
        errors.NotFound("endpoint", AN_ID)
        if kind is errors.NotFound
        else kind("SOME_REASON", "some words", field="a.b", metadata={"k": "v"}, blockers=["one", "two"])
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetEndpoint(endpoint_service_pb2.GetEndpointRequest(id=AN_ID), metadata=somebody())
    assert raised.value.code() == CODES[kind]
    assert raised.value.details() == endpoints.error.text == status_in(raised.value).message
    assert details_in(raised.value, error_details_pb2.ErrorInfo).reason == endpoints.error.reason
    if kind is not errors.NotFound:
        assert details_in(raised.value, error_details_pb2.BadRequest).field_violations[0].field == "a.b"
        failure = details_in(raised.value, error_details_pb2.PreconditionFailure)
        assert [violation.subject for violation in failure.violations] == ["one", "two"]
    if kind is errors.Unavailable:
        assert details_in(raised.value, error_details_pb2.RetryInfo).retry_delay.seconds == 1


def subclasses(root: type[Any]) -> list[type[Any]]:
    return [kind for child in root.__subclasses__() for kind in (child, *subclasses(child))]


@pytest.mark.parametrize("kind", subclasses(errors.Refused), ids=lambda kind: str(kind.__name__))
def test_the_table_of_codes_is_complete(kind: type[errors.Refused]) -> None:
    told: dict[type[Any], tuple[Any, ...]] = {NotProved: ("WHY",), Overreach: (Principal("a", "b"), "c")}
    two = ("vpc", "x") if issubclass(kind, errors.NotFound) else ("R", "t")
    refusal = kind(*told.get(kind, two))
    assert code_pb2.Code.Name(status_of(refusal).code) == code_of(refusal).name


@pytest.mark.parametrize(
    "error",
    [
        store.Conflict("s", 1),
        store.AlreadyClaimed(store.Claim("k", "x"), "s"),
        store.NotClaimed(store.Claim("k", "x")),
        store.LimitReached(store.Count("k", "x", 1, 1), 1),
        store.RequestReused(),
        store.Unavailable(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_store_raises_is_a_refusal_that_names_no_stream(error: store.StoreError) -> None:
    refusal = refusal_of(error)
    assert refusal is not None
    assert str(error) == "" or str(error) not in refusal.text


async def test_what_nobody_expected_says_a_number_and_nothing_more(endpoints: Endpoints, stub: Stub) -> None:
    endpoints.error = RuntimeError("the secret is 1234")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetEndpoint(endpoint_service_pb2.GetEndpointRequest(id=AN_ID), metadata=somebody())
    assert raised.value.code() == grpc.StatusCode.INTERNAL
    assert "1234" not in str(raised.value)


async def test_a_call_without_a_deadline_gets_one(
    endpoints: Endpoints, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "DEFAULT_DEADLINE", 0.05)
    endpoints.pause = asyncio.Event()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetEndpoint(endpoint_service_pb2.GetEndpointRequest(id=AN_ID), metadata=somebody())
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_health_is_told_of_the_program_and_of_each_service(address: str) -> None:
    async with identity.channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        for name in ("", "sidegate.api.endpoint.v1.EndpointsService"):
            answer = await check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert await asyncio.to_thread(is_healthy, address, ca=identity.ca())
    assert not await asyncio.to_thread(is_healthy, "unix:/nowhere")


async def test_a_client_without_our_files_can_ask_what_is_served(address: str) -> None:
    async with identity.channel(address) as channel:
        ask = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        answers = [answer async for answer in ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))]
    served = {service.name for service in answers[0].list_services_response.service}
    assert "sidegate.api.endpoint.v1.EndpointsService" in served
    assert "grpc.health.v1.Health" in served


async def test_an_address_that_is_taken_is_named() -> None:
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1:1"):
        await RpcServer(identity.public("192.0.2.1:1"), [hosted(Endpoints())]).start()


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "e30=",
        paging.encode((3,), "another query"),
        paging.encode(("3",), "this query"),
        paging.encode((-1,), "this query"),
        paging.encode((2**63,), "this query"),
    ],
)
def test_a_page_token_of_another_list_is_refused(token: str) -> None:
    with pytest.raises(errors.Invalid) as raised:
        paging.decode(token, "this query", (0,))
    assert raised.value.field == "page_token"


def test_a_page_token_says_where_its_list_goes_on() -> None:
    assert not paging.decode("", "q", (0,))
    assert paging.decode(paging.encode((42, "web"), "q"), "q", (0, "")) == (42, "web")
