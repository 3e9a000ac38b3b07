"""The public interface: requests to use cases, and back."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import starmap

from services.common.labels import description_of
from services.common.rpc import paging
from services.common.rpc.auth import principal
from services.common.rpc.calls import Context
from services.common.rpc.command import command_context
from services.common.rpc.errors import refusal_of
from services.common.rpc.listing import tags_shown
from services.common.rpc.watch import place_of, watch_of
from services.common.watching.sight import Wish
from services.endpoint.application.backend_health import BackendHealths
from services.endpoint.application.connections import Connections
from services.endpoint.application.endpoints import Endpoints
from services.endpoint.application.reachability import Reachability
from services.endpoint.application.requests import Requests, Wanted
from services.endpoint.application.traffic import Traffic
from services.endpoint.domain.endpoint_commands import Accept, Delete, Note, Reject
from services.endpoint.wire.backend_health import gateway_health
from services.endpoint.wire.labels import parse_tags, whitelist_of
from services.endpoint.wire.policy import policy_of
from services.endpoint.wire.reachability import backend_message, step_message
from services.endpoint.wire.request import (
    change_of,
    connections_of,
    decisions_of,
    drain_of,
    endpoints_of,
    name_of,
    networks_of,
    place_of_endpoint,
    states_of,
    until_of,
    uuid_of,
    versions_of,
)
from services.endpoint.wire.stored import endpoint_stream
from services.endpoint.wire.traffic import SPANS
from services.endpoint.wire.traffic_answers import endpoint_traffic, service_traffic
from sidegate.api.endpoint.v1 import backend_health_pb2 as health_pb
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.endpoint.v1 import endpoint_service_pb2 as service_pb
from sidegate.api.endpoint.v1 import endpoint_service_pb2_grpc as service_grpc
from sidegate.api.endpoint.v1 import reachability_pb2 as reachability_pb
from sidegate.api.endpoint.v1 import traffic_pb2 as traffic_pb
from sidegate.api.endpoint.v1 import watch_pb2 as watch_pb
from sidegate.api.registry.v1 import quota_pb2

USUAL_LIMIT = 100
WATCHED_ENDPOINTS, WATCHED_CONNECTIONS = frozenset({"endpoint"}), frozenset({"connection"})


class EndpointsServicer(service_grpc.EndpointsServiceServicer):
    def __init__(self, requests: Requests, endpoints: Endpoints, reachability: Reachability, traffic: Traffic) -> None:
        self._requests, self._endpoints, self._reachability = requests, endpoints, reachability
        self._traffic = traffic

    async def CreateEndpoint(self, request: service_pb.CreateEndpointRequest, context: Context) -> endpoint_pb.Endpoint:
        wanted = Wanted(
            name=name_of(request.endpoint),
            service=request.endpoint.service,
            place=place_of_endpoint(request.endpoint),
            allowed=networks_of(request.endpoint.allowed_cidrs),
            description=description_of(request.endpoint.description, "endpoint.description"),
            tags=parse_tags(request.endpoint.tags),
            whitelist=whitelist_of(request.endpoint.whitelist),
            policy=policy_of(request.endpoint.policy, "endpoint.policy"),
            dns=request.endpoint.dns_enabled,
        )
        return await self._requests.request(wanted, command_context(request, "CreateEndpoint"))

    async def GetEndpoint(self, request: service_pb.GetEndpointRequest, context: Context) -> endpoint_pb.Endpoint:
        return await self._endpoints.get(uuid_of(request.id, "id"), principal())

    async def GetEndpointQuota(self, request: service_pb.GetEndpointQuotaRequest, context: Context) -> quota_pb2.Quota:
        used, limit = await self._requests.quota(principal())
        return quota_pb2.Quota(used=used, limit=limit)

    async def ListEndpoints(
        self, request: service_pb.ListEndpointsRequest, context: Context
    ) -> service_pb.ListEndpointsResponse:
        asked, service = paging.asked(request), request.service_id.lower()
        found = await self._endpoints.listed(principal(), asked.window, endpoints_of(request), service)
        shown, token = asked.cut(found)
        return service_pb.ListEndpointsResponse(endpoints=shown, next_page_token=token, total_size=found.total)

    async def ListEndpointTags(
        self, request: service_pb.ListEndpointTagsRequest, context: Context
    ) -> service_pb.ListEndpointTagsResponse:
        asked = paging.asked_of_tags(request)
        tags, token = asked.cut(await self._endpoints.tags(principal(), asked.after, asked.size + 1))
        return service_pb.ListEndpointTagsResponse(tags=tags_shown(tags), next_page_token=token)

    async def UpdateEndpoint(self, request: service_pb.UpdateEndpointRequest, context: Context) -> endpoint_pb.Endpoint:
        told = command_context(request, "UpdateEndpoint", request.endpoint.etag)
        return await self._endpoints.change(change_of(request, told.at_ns, told.principal), told)

    async def DeleteEndpoint(self, request: service_pb.DeleteEndpointRequest, context: Context) -> endpoint_pb.Endpoint:
        told = command_context(request, "DeleteEndpoint", request.etag)
        delete = Delete(told.at_ns, told.principal, uuid_of(request.id, "id"), drain_of(request))
        return await self._endpoints.delete(delete, told)

    async def WatchEndpoints(
        self, request: watch_pb.WatchEndpointsRequest, context: Context
    ) -> AsyncIterator[watch_pb.WatchEndpointsResponse]:
        wish = Wish(WATCHED_ENDPOINTS, request.id, request.service_id, _stream(request.id))
        async with aclosing(self._endpoints.watch(watch_of(principal(), wish), place_of(request))) as answers:
            async for told in answers:
                changes = [change for change in told.changes if isinstance(change, watch_pb.EndpointChange)]
                yield watch_pb.WatchEndpointsResponse(
                    position=told.position, log_id=told.log_id, epoch=told.epoch, changes=changes
                )

    async def TestEndpoint(
        self, request: reachability_pb.TestEndpointRequest, context: Context
    ) -> reachability_pb.TestEndpointResponse:
        endpoint = uuid_of(request.id, "id")
        tested = await self._reachability.of_endpoint(endpoint, principal())
        steps = map(step_message, tested.steps)
        return reachability_pb.TestEndpointResponse(endpoint_id=endpoint, reachable=tested.passed, steps=steps)

    async def GetEndpointTraffic(
        self, request: traffic_pb.GetEndpointTrafficRequest, context: Context
    ) -> traffic_pb.GetEndpointTrafficResponse:
        endpoint = uuid_of(request.id, "id")
        seen = await self._traffic.of_endpoint(endpoint, principal(), SPANS[request.span])
        return endpoint_traffic(endpoint, seen)


class ConnectionsServicer(service_grpc.ConnectionsServiceServicer):
    def __init__(
        self, connections: Connections, reachability: Reachability, health: BackendHealths, traffic: Traffic
    ) -> None:
        self._connections, self._reachability, self._health = connections, reachability, health
        self._traffic = traffic

    async def GetConnection(self, request: service_pb.GetConnectionRequest, context: Context) -> endpoint_pb.Connection:
        service, endpoint = _ids(request)
        return await self._connections.get(service, endpoint, principal())

    async def ListConnections(
        self, request: service_pb.ListConnectionsRequest, context: Context
    ) -> service_pb.ListConnectionsResponse:
        asked, service = paging.asked(request), uuid_of(request.service_id, "service_id")
        found = await self._connections.listed(service, principal(), asked.window, connections_of(request))
        shown, token = asked.cut(found)
        return service_pb.ListConnectionsResponse(connections=shown, next_page_token=token, total_size=found.total)

    async def ListConnectionCounts(
        self, request: service_pb.ListConnectionCountsRequest, context: Context
    ) -> service_pb.ListConnectionCountsResponse:
        services = [uuid_of(id_, f"service_ids[{place}]") for place, id_ in enumerate(request.service_ids)]
        counts = await self._connections.counts(services, principal(), states_of(request.states))
        return service_pb.ListConnectionCountsResponse(counts=counts)

    async def AcceptConnection(
        self, request: service_pb.AcceptConnectionRequest, context: Context
    ) -> endpoint_pb.Connection:
        told = command_context(request, "AcceptConnection", request.etag)
        accept = Accept(told.at_ns, told.principal, *_ids(request), until_of(request, told.at_ns))
        return await self._connections.decide(accept, told)

    async def RejectConnection(
        self, request: service_pb.RejectConnectionRequest, context: Context
    ) -> endpoint_pb.Connection:
        told = command_context(request, "RejectConnection", request.etag)
        reject = Reject(told.at_ns, told.principal, *_ids(request), drain_of(request))
        return await self._connections.decide(reject, told)

    async def DecideConnections(
        self, request: service_pb.DecideConnectionsRequest, context: Context
    ) -> service_pb.DecideConnectionsResponse:
        told = command_context(request, "DecideConnections")
        commands = decisions_of(request, told.at_ns, told.principal)
        outcomes = await self._connections.decide_all(commands, told, versions_of(request))
        results = [_decided(command.endpoint, each) for command, each in zip(commands, outcomes, strict=True)]
        return service_pb.DecideConnectionsResponse(results=results)

    async def NoteConnection(
        self, request: service_pb.NoteConnectionRequest, context: Context
    ) -> endpoint_pb.Connection:
        told, note = command_context(request, "NoteConnection", request.etag), description_of(request.note, "note")
        return await self._connections.decide(Note(told.at_ns, told.principal, *_ids(request), note), told)

    async def WatchConnections(
        self, request: watch_pb.WatchConnectionsRequest, context: Context
    ) -> AsyncIterator[watch_pb.WatchConnectionsResponse]:
        wish = Wish(WATCHED_CONNECTIONS, request.endpoint_id, request.service_id, _stream(request.endpoint_id))
        async with aclosing(self._connections.watch(watch_of(principal(), wish), place_of(request))) as answers:
            async for told in answers:
                changes = [change for change in told.changes if isinstance(change, watch_pb.ConnectionChange)]
                yield watch_pb.WatchConnectionsResponse(
                    position=told.position, log_id=told.log_id, epoch=told.epoch, changes=changes
                )

    async def TestConnection(
        self, request: reachability_pb.TestConnectionRequest, context: Context
    ) -> reachability_pb.TestConnectionResponse:
        service, endpoint = _ids(request)
        tested = await self._reachability.of_connection(service, endpoint, principal())
        return reachability_pb.TestConnectionResponse(
            endpoint_id=endpoint,
            reachable=tested.passed,
            steps=map(step_message, tested.steps),
            backends=starmap(backend_message, tested.ports.items()),
        )

    async def GetServiceHealth(
        self, request: health_pb.GetServiceHealthRequest, context: Context
    ) -> health_pb.GetServiceHealthResponse:
        service = uuid_of(request.service_id, "service_id")
        found = await self._health.of(service, principal())
        return health_pb.GetServiceHealthResponse(service_id=service, gateways=starmap(gateway_health, found.items()))

    async def GetServiceTraffic(
        self, request: traffic_pb.GetServiceTrafficRequest, context: Context
    ) -> traffic_pb.GetServiceTrafficResponse:
        service, span = uuid_of(request.service_id, "service_id"), SPANS[request.span]
        if request.endpoint_id:
            endpoint = uuid_of(request.endpoint_id, "endpoint_id")
            found = await self._traffic.of_connection(service, endpoint, principal(), span)
        else:
            found = self._traffic.of_service(service, principal(), span, request.limit or USUAL_LIMIT)
        return service_traffic(service, found)


def _decided(endpoint: str, outcome: endpoint_pb.Connection | BaseException) -> service_pb.DecidedConnection:
    """What is shown of one decision of many. Raises what is no refusal."""
    if isinstance(outcome, endpoint_pb.Connection):
        return service_pb.DecidedConnection(endpoint_id=endpoint, connection=outcome)
    refusal = refusal_of(outcome) if isinstance(outcome, Exception) else None
    if refusal is None:
        raise outcome
    return service_pb.DecidedConnection(endpoint_id=endpoint, reason=refusal.reason, message=refusal.text)


def _ids(
    request: service_pb.GetConnectionRequest
    | service_pb.AcceptConnectionRequest
    | service_pb.RejectConnectionRequest
    | service_pb.NoteConnectionRequest
    | reachability_pb.TestConnectionRequest,
) -> tuple[str, str]:
    """The service's id and the endpoint's."""
    return uuid_of(request.service_id, "service_id"), uuid_of(request.endpoint_id, "endpoint_id")


def _stream(endpoint: str) -> str:
    """Where all of an endpoint's events are; nothing of none."""
    return endpoint_stream(endpoint) if endpoint else ""
