"""Connections: the service owner's side of endpoints."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.endpoint.v1 import endpoint_service_pb2 as endpoint_rpc
from sidegate.api.endpoint.v1.backend_health_pb2 import GetServiceHealthRequest, GetServiceHealthResponse
from sidegate.api.endpoint.v1.endpoint_pb2 import Connection, ConnectionState
from sidegate.api.endpoint.v1.endpoint_service_pb2_grpc import ConnectionsServiceStub
from sidegate.api.endpoint.v1.reachability_pb2 import TestConnectionRequest, TestConnectionResponse
from sidegate.api.endpoint.v1.traffic_pb2 import (
    TRAFFIC_SPAN_TEN_MINUTES,
    GetServiceTrafficRequest,
    GetServiceTrafficResponse,
    TrafficSpan,
)
from sidegate.api.endpoint.v1.watch_pb2 import WatchConnectionsRequest, WatchConnectionsResponse
from sidegate.api.registry.v1.listing_pb2 import LIST_ORDER_CREATE_TIME, ListOrder
from sidegate.resources.paging import Page
from sidegate.transport import Caller
from sidegate.watching import Begin, Interrupted, Place, Watch

Order: TypeAlias = ListOrder.ValueType
NONE: Mapping[str, str] = MappingProxyType({})


class Connections:
    """Endpoints as the owner of their service sees them."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, ConnectionsServiceStub(caller.channel)

    async def get(self, service_id: str, endpoint_id: str) -> Connection:
        request = endpoint_rpc.GetConnectionRequest(service_id=service_id, endpoint_id=endpoint_id)
        return await self._caller.ask(self._stub.GetConnection, request)

    async def list(
        self,
        service_id: str,
        *,
        states: Collection[ConnectionState.ValueType] = (),
        newest_first: bool = False,
        order: Order = LIST_ORDER_CREATE_TIME,
    ) -> AsyncIterator[Connection]:
        request = endpoint_rpc.ListConnectionsRequest(
            service_id=service_id, states=states, newest_first=newest_first, order=order
        )
        async for page in self._caller.pages(self._stub.ListConnections, request):
            for connection in page.connections:
                yield connection

    async def page(
        self,
        service_id: str,
        *,
        skip: int = 0,
        size: int = 50,
        states: Collection[ConnectionState.ValueType] = (),
        endpoint_ids: Sequence[str] = (),
        marker_id: int = 0,
        newest_first: bool = False,
    ) -> Page[Connection]:
        """So many of those that match behind the first `skip`, and how many match in all."""
        request = endpoint_rpc.ListConnectionsRequest(
            page_size=size,
            skip=skip,
            want_total=True,
            service_id=service_id,
            states=states,
            endpoint_ids=endpoint_ids,
            marker_id=marker_id,
            newest_first=newest_first,
        )
        answer = await self._caller.ask(self._stub.ListConnections, request)
        return Page(answer.connections, answer.total_size)

    async def counts(
        self, service_ids: Sequence[str], *, states: Collection[ConnectionState.ValueType] = ()
    ) -> Mapping[str, int]:
        """How many connections in one of the states each of up to 1000 services has, where it has any."""
        request = endpoint_rpc.ListConnectionCountsRequest(service_ids=service_ids, states=states)
        return (await self._caller.ask(self._stub.ListConnectionCounts, request)).counts

    async def accept(
        self, service_id: str, endpoint_id: str, *, until: Timestamp | None = None, request_id: str = ""
    ) -> Connection:
        """Lets packets pass; until then, or as long as the service's rules say."""
        request = endpoint_rpc.AcceptConnectionRequest(
            service_id=service_id, endpoint_id=endpoint_id, expire_time=until, request_id=request_id
        )
        return await self._caller.write(self._stub.AcceptConnection, request)

    async def reject(self, service_id: str, endpoint_id: str, *, drain: int = 0, request_id: str = "") -> Connection:
        """Lets no packet pass; established sessions go on for `drain` seconds, up to 3600, or until it is accepted."""
        request = endpoint_rpc.RejectConnectionRequest(
            service_id=service_id, endpoint_id=endpoint_id, drain=drain, request_id=request_id
        )
        return await self._caller.write(self._stub.RejectConnection, request)

    async def test(self, service_id: str, endpoint_id: str) -> TestConnectionResponse:
        """Tries out whether packets pass, with what each backend said; takes up to four seconds."""
        request = TestConnectionRequest(service_id=service_id, endpoint_id=endpoint_id)
        return await self._caller.ask(self._stub.TestConnection, request)

    async def health(self, service_id: str) -> GetServiceHealthResponse:
        """How gateways find the backends of a service that asks for health checks; no gateways where none asks."""
        return await self._caller.ask(self._stub.GetServiceHealth, GetServiceHealthRequest(service_id=service_id))

    async def traffic(
        self,
        service_id: str,
        endpoint_id: str = "",
        *,
        span: TrafficSpan.ValueType = TRAFFIC_SPAN_TEN_MINUTES,
        limit: int = 0,
    ) -> GetServiceTrafficResponse:
        """What has passed for a service, or for one of its connections: in all, now, and over time.

        `limit` connections are told of, those with the most bytes; 100 where it is 0.
        """
        request = GetServiceTrafficRequest(service_id=service_id, endpoint_id=endpoint_id, span=span, limit=limit)
        return await self._caller.ask(self._stub.GetServiceTraffic, request)

    async def decide(
        self,
        service_id: str,
        endpoint_ids: Sequence[str],
        *,
        accept: bool,
        drain: int = 0,
        etags: Mapping[str, str] = NONE,
        request_id: str = "",
    ) -> Sequence[endpoint_rpc.DecidedConnection]:
        """Accepts or rejects up to 100 connections at once: what became of each, in the same order.

        `etags` are by endpoint; one that is given must still fit. Established sessions of those that are rejected go on
        for `drain` seconds, up to 3600.
        """
        decision = endpoint_rpc.DecideConnectionsRequest.DECISION_REJECT
        if accept:
            decision = endpoint_rpc.DecideConnectionsRequest.DECISION_ACCEPT
        request = endpoint_rpc.DecideConnectionsRequest(
            service_id=service_id,
            endpoint_ids=endpoint_ids,
            decision=decision,
            drain=drain,
            etags=etags,
            request_id=request_id,
        )
        return (await self._caller.write(self._stub.DecideConnections, request)).results

    async def note(self, service_id: str, endpoint_id: str, note: str, *, request_id: str = "") -> Connection:
        """Puts a note on the connection that only the service's owner sees; an empty one takes it away."""
        request = endpoint_rpc.NoteConnectionRequest(
            service_id=service_id, endpoint_id=endpoint_id, note=note, request_id=request_id
        )
        return await self._caller.write(self._stub.NoteConnection, request)

    def watch(
        self,
        *,
        service_id: str = "",
        endpoint_id: str = "",
        after: Begin = None,
        interrupted: Interrupted | None = None,
    ) -> Watch[WatchConnectionsResponse]:
        """What happens to connections of the project's services, of the one, or to the one."""

        def ask(place: Place) -> AsyncGenerator[WatchConnectionsResponse, None]:
            request = WatchConnectionsRequest(
                after=place.after,
                log_id=place.log_id,
                epoch=place.epoch,
                service_id=service_id,
                endpoint_id=endpoint_id,
            )
            return self._caller.stream(self._stub.WatchConnections, request)

        return Watch(ask, after, interrupted)
