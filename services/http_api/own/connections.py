"""Connections decided on many at once, endpoints tried out, how backends are, and what passes."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query

from services.http_api.auth.caller import ProjectCaller, SignedRoute
from services.http_api.own.models import (
    ConnectionReachability,
    Decide,
    DecidedAnswer,
    EndpointTraffic,
    Reachability,
    ServiceHealth,
    ServiceTraffic,
)
from sidegate.api.endpoint.v1 import backend_health_pb2, reachability_pb2, traffic_pb2
from sidegate.api.endpoint.v1 import endpoint_service_pb2 as rpc
from sidegate.cli import facts

router = APIRouter(prefix="/sidegate/v1", tags=["connections"], route_class=SignedRoute)

DECISIONS = {
    "accept": rpc.DecideConnectionsRequest.DECISION_ACCEPT,
    "reject": rpc.DecideConnectionsRequest.DECISION_REJECT,
}
Service = Annotated[UUID, Path(description="the id of an endpoint service of the project")]
Endpoint = Annotated[UUID, Path(description="the id of an endpoint")]
Over = Annotated[
    Literal["10m", "3h"], Query(description="samples of ten minutes by 5 seconds, or of three hours by the minute")
]
SPANS = {"10m": traffic_pb2.TRAFFIC_SPAN_TEN_MINUTES, "3h": traffic_pb2.TRAFFIC_SPAN_THREE_HOURS}


@router.post("/{project_id}/services/{service_id}/connections/decide", operation_id="DecideConnections")
async def decide_connections(caller: ProjectCaller, service_id: Service, body: Decide) -> DecidedAnswer:
    """Accepts or rejects many at once: some may succeed where others are refused, and the answer says so of each."""
    request = rpc.DecideConnectionsRequest(
        service_id=str(service_id),
        endpoint_ids=[str(each) for each in body.endpoint_ids],
        decision=DECISIONS[body.decision],
    )
    answer = await caller.write(caller.upstream.connections.DecideConnections, request)
    return DecidedAnswer.model_validate(facts.of(answer))


@router.post("/{project_id}/endpoints/{endpoint_id}/test", operation_id="TestEndpoint")
async def test_endpoint(caller: ProjectCaller, endpoint_id: Endpoint) -> Reachability:
    """Tries out whether packets pass, step by step; takes up to four seconds, and may be done some times a minute."""
    request = reachability_pb2.TestEndpointRequest(id=str(endpoint_id))
    answer = await caller.ask(caller.upstream.endpoints.TestEndpoint, request)
    return Reachability.model_validate(facts.of(answer))


@router.post("/{project_id}/services/{service_id}/connections/{endpoint_id}/test", operation_id="TestConnection")
async def test_connection(caller: ProjectCaller, service_id: Service, endpoint_id: Endpoint) -> ConnectionReachability:
    """Tries out a connection, for the service's owner: with what each backend said."""
    request = reachability_pb2.TestConnectionRequest(service_id=str(service_id), endpoint_id=str(endpoint_id))
    answer = await caller.ask(caller.upstream.connections.TestConnection, request)
    return ConnectionReachability.model_validate(facts.of(answer))


@router.get("/{project_id}/services/{service_id}/health", operation_id="GetServiceHealth")
async def service_health(caller: ProjectCaller, service_id: Service) -> ServiceHealth:
    """How gateways find the backends of a service that asks for health checks, for its owner."""
    request = backend_health_pb2.GetServiceHealthRequest(service_id=str(service_id))
    answer = await caller.ask(caller.upstream.connections.GetServiceHealth, request)
    return ServiceHealth.model_validate(facts.of(answer))


@router.get("/{project_id}/endpoints/{endpoint_id}/traffic", operation_id="GetEndpointTraffic")
async def endpoint_traffic(caller: ProjectCaller, endpoint_id: Endpoint, over: Over = "10m") -> EndpointTraffic:
    """What has passed for an endpoint of the project, and what was refused: in all, now, and over time."""
    request = traffic_pb2.GetEndpointTrafficRequest(id=str(endpoint_id), span=SPANS[over])
    answer = await caller.ask(caller.upstream.endpoints.GetEndpointTraffic, request)
    return EndpointTraffic.model_validate(facts.of(answer))


@router.get("/{project_id}/services/{service_id}/traffic", operation_id="GetServiceTraffic")
async def service_traffic(
    caller: ProjectCaller,
    service_id: Service,
    endpoint_id: Annotated[UUID | None, Query(description="only this connection, by its endpoint")] = None,
    over: Over = "10m",
    limit: Annotated[int, Query(ge=1, le=1000, description="how many connections, those with the most bytes")] = 100,
) -> ServiceTraffic:
    """What has passed for a service of the project, and for its connections; of another's, nothing."""
    request = traffic_pb2.GetServiceTrafficRequest(
        service_id=str(service_id), endpoint_id=str(endpoint_id or ""), span=SPANS[over], limit=limit
    )
    answer = await caller.ask(caller.upstream.connections.GetServiceTraffic, request)
    return ServiceTraffic.model_validate(facts.of(answer))
