"""The endpoint service's public interface, in memory."""

from collections import Counter
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.endpoint.v1 import backend_health_pb2 as health_pb2
from sidegate.api.endpoint.v1 import (
    endpoint_pb2,
    endpoint_service_pb2,
    endpoint_service_pb2_grpc,
    reachability_pb2,
    traffic_pb2,
    watch_pb2,
)
from sidegate.api.endpoint.v1.backend_health_pb2 import BackendHealth
from sidegate.api.endpoint.v1.endpoint_pb2 import Connection, Endpoint
from tests.support.fake_sidegate import traffic
from tests.support.fake_sidegate.shelf import Context, Feed, Shelf, page, replace

Step = reachability_pb2.ReachabilityStep


def state_step(endpoint: Endpoint) -> Step:
    """Packets pass where the endpoint is accepted."""
    accepted = endpoint.state == endpoint_pb2.CONNECTION_STATE_ACCEPTED
    return Step(
        subject=Step.SUBJECT_STATE,
        outcome=Step.OUTCOME_PASSED if accepted else Step.OUTCOME_FAILED,
        message="the connection is accepted" if accepted else "the service's owner has yet to accept it",
    )


class FakeEndpoints(endpoint_service_pb2_grpc.EndpointsServiceServicer):
    """`after` is the state that an endpoint turns to when it is asked for; None leaves it as it is.

    With `forgets`, a deleted endpoint is not there any more.
    """

    def __init__(self) -> None:
        self.endpoints: Shelf[Endpoint] = Shelf("endpoint")
        self.first = endpoint_pb2.CONNECTION_STATE_PENDING_ACCEPTANCE
        self.after: endpoint_pb2.ConnectionState.ValueType | None = None
        self.forgets = False
        self.drains: list[int] = []
        self.markers = iter(range(2**53 - 1, 0, -1))
        self.watched: Feed[watch_pb2.WatchEndpointsResponse] = Feed()

    def turn(self, endpoint: Endpoint) -> Endpoint:
        if self.after is not None:
            endpoint.state = self.after
        return endpoint

    async def CreateEndpoint(self, request: endpoint_service_pb2.CreateEndpointRequest, context: Context) -> Endpoint:
        endpoint = request.endpoint
        endpoint.state = self.first
        endpoint.address = endpoint.address or "10.0.0.3"
        endpoint.marker_id = next(self.markers)
        return self.endpoints.add(endpoint, request.request_id)

    async def GetEndpoint(self, request: endpoint_service_pb2.GetEndpointRequest, context: Context) -> Endpoint:
        return self.turn(await self.endpoints.find(request.id, context))

    async def ListEndpoints(
        self, request: endpoint_service_pb2.ListEndpointsRequest, context: Context
    ) -> endpoint_service_pb2.ListEndpointsResponse:
        self.listed = request
        endpoints, token = page(self.endpoints.values(), request)
        return endpoint_service_pb2.ListEndpointsResponse(endpoints=endpoints, next_page_token=token)

    async def UpdateEndpoint(self, request: endpoint_service_pb2.UpdateEndpointRequest, context: Context) -> Endpoint:
        endpoint = await self.endpoints.find(request.endpoint.id, context)
        replace(endpoint, request.endpoint, request.update_mask.paths)
        return endpoint

    async def DeleteEndpoint(self, request: endpoint_service_pb2.DeleteEndpointRequest, context: Context) -> Endpoint:
        endpoint = await self.endpoints.find(request.id, context)
        endpoint.state = endpoint_pb2.CONNECTION_STATE_DELETING
        self.drains.append(request.drain)
        if self.forgets:
            await self.endpoints.take(request.id, context)
        return endpoint

    async def WatchEndpoints(self, request: watch_pb2.WatchEndpointsRequest, context: Context) -> Any:
        async for answer in self.watched.tell(request, context):
            yield answer

    async def TestEndpoint(
        self, request: reachability_pb2.TestEndpointRequest, context: Context
    ) -> reachability_pb2.TestEndpointResponse:
        endpoint = await self.endpoints.find(request.id, context)
        step = state_step(endpoint)
        return reachability_pb2.TestEndpointResponse(
            endpoint_id=endpoint.id, reachable=step.outcome == Step.OUTCOME_PASSED, steps=[step]
        )

    async def GetEndpointTraffic(
        self, request: traffic_pb2.GetEndpointTrafficRequest, context: Context
    ) -> traffic_pb2.GetEndpointTrafficResponse:
        await self.endpoints.find(request.id, context)
        return traffic.of_endpoint(request)


class FakeConnections(endpoint_service_pb2_grpc.ConnectionsServiceServicer):
    """The same endpoints, as their services' owners see them."""

    def __init__(self, endpoints: FakeEndpoints) -> None:
        self._all = endpoints
        self.request_ids: list[str] = []
        self.notes: dict[str, str] = {}
        self.watched: Feed[watch_pb2.WatchConnectionsResponse] = Feed()

    async def WatchConnections(self, request: watch_pb2.WatchConnectionsRequest, context: Context) -> Any:
        async for answer in self.watched.tell(request, context):
            yield answer

    def _seen(self, endpoint: Endpoint) -> Connection:
        return Connection(
            endpoint_id=endpoint.id,
            service_id=endpoint.service,
            account="shop",
            marker_id=endpoint.marker_id,
            state=endpoint.state,
            note=self.notes.get(endpoint.id, ""),
        )

    async def DecideConnections(
        self, request: endpoint_service_pb2.DecideConnectionsRequest, context: Context
    ) -> endpoint_service_pb2.DecideConnectionsResponse:
        self.request_ids.append(request.request_id)
        self._all.drains.append(request.drain)
        results = []
        for id_ in request.endpoint_ids:
            endpoint = await self._all.endpoints.find(id_, context)
            if endpoint.state == endpoint_pb2.CONNECTION_STATE_FAILED:
                refused = endpoint_service_pb2.DecidedConnection(endpoint_id=id_, reason="WRONG_STATE", message="no")
                results.append(refused)
                continue
            accepted = request.decision == endpoint_service_pb2.DecideConnectionsRequest.DECISION_ACCEPT
            creating, rejected = endpoint_pb2.CONNECTION_STATE_CREATING, endpoint_pb2.CONNECTION_STATE_REJECTED
            endpoint.state = creating if accepted else rejected
            results.append(endpoint_service_pb2.DecidedConnection(endpoint_id=id_, connection=self._seen(endpoint)))
        return endpoint_service_pb2.DecideConnectionsResponse(results=results)

    async def NoteConnection(self, request: endpoint_service_pb2.NoteConnectionRequest, context: Context) -> Connection:
        endpoint = await self._all.endpoints.find(request.endpoint_id, context)
        self.request_ids.append(request.request_id)
        self.notes[endpoint.id] = request.note
        return self._seen(endpoint)

    async def GetConnection(self, request: endpoint_service_pb2.GetConnectionRequest, context: Context) -> Connection:
        return self._seen(self._all.turn(await self._all.endpoints.find(request.endpoint_id, context)))

    async def ListConnections(
        self, request: endpoint_service_pb2.ListConnectionsRequest, context: Context
    ) -> endpoint_service_pb2.ListConnectionsResponse:
        self.listed = request
        wanted = [each for each in self._all.endpoints.values() if each.service == request.service_id]
        endpoints, token = page(wanted, request)
        connections = map(self._seen, endpoints)
        return endpoint_service_pb2.ListConnectionsResponse(connections=connections, next_page_token=token)

    async def ListConnectionCounts(
        self, request: endpoint_service_pb2.ListConnectionCountsRequest, context: Context
    ) -> endpoint_service_pb2.ListConnectionCountsResponse:
        counts = Counter(each.service for each in self._all.endpoints.values() if each.service in request.service_ids)
        return endpoint_service_pb2.ListConnectionCountsResponse(counts=counts)

    async def AcceptConnection(
        self, request: endpoint_service_pb2.AcceptConnectionRequest, context: Context
    ) -> Connection:
        endpoint = await self._all.endpoints.find(request.endpoint_id, context)
        self.request_ids.append(request.request_id)
        endpoint.state = endpoint_pb2.CONNECTION_STATE_CREATING
        return self._seen(endpoint)

    async def RejectConnection(
        self, request: endpoint_service_pb2.RejectConnectionRequest, context: Context
    ) -> Connection:
        endpoint = await self._all.endpoints.find(request.endpoint_id, context)
        self.request_ids.append(request.request_id)
        endpoint.state = endpoint_pb2.CONNECTION_STATE_REJECTED
        self._all.drains.append(request.drain)
        return self._seen(endpoint)

    async def TestConnection(
        self, request: reachability_pb2.TestConnectionRequest, context: Context
    ) -> reachability_pb2.TestConnectionResponse:
        step = state_step(await self._all.endpoints.find(request.endpoint_id, context))
        open_, refused = reachability_pb2.TestedBackend.OUTCOME_OPEN, reachability_pb2.TestedBackend.OUTCOME_REFUSED
        backends = [
            reachability_pb2.TestedBackend(address="10.0.0.10", port=8080, protocol="tcp", outcome=open_),
            reachability_pb2.TestedBackend(address="10.0.0.11", port=8080, protocol="tcp", outcome=refused),
        ]
        return reachability_pb2.TestConnectionResponse(
            endpoint_id=request.endpoint_id,
            reachable=step.outcome == Step.OUTCOME_PASSED,
            steps=[step],
            backends=backends,
        )

    async def GetServiceHealth(
        self, request: health_pb2.GetServiceHealthRequest, context: Context
    ) -> health_pb2.GetServiceHealthResponse:
        well, unhealthy = BackendHealth.CONDITION_WELL, BackendHealth.CONDITION_UNHEALTHY
        backends = [
            BackendHealth(
                address="10.0.0.10",
                condition=well,
                since=Timestamp(seconds=1_700_000_000),
                takes_sessions=True,
                median_time=Duration(nanos=1_250_000),
            ),
            BackendHealth(
                address="10.0.0.11",
                condition=unhealthy,
                since=Timestamp(seconds=1_700_000_060),
                last_error="HTTP status 503 from port 8080",
                last_error_time=Timestamp(seconds=1_700_000_070),
            ),
        ]
        asked = any(each.service == request.service_id for each in self._all.endpoints.values())
        gateways = [health_pb2.GatewayHealth(gateway_id="gw-1", backends=backends)] if asked else []
        return health_pb2.GetServiceHealthResponse(service_id=request.service_id, gateways=gateways)

    async def GetServiceTraffic(
        self, request: traffic_pb2.GetServiceTrafficRequest, context: Context
    ) -> traffic_pb2.GetServiceTrafficResponse:
        if request.endpoint_id:
            await self._all.endpoints.find(request.endpoint_id, context)
        return traffic.of_service(request, [e for e in self._all.endpoints.values() if e.service == request.service_id])
