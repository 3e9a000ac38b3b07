"""Endpoints: the consumer's side."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from typing import TypeAlias

from google.protobuf.field_mask_pb2 import FieldMask

from sidegate.api.endpoint.v1 import endpoint_service_pb2 as rpc
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState, Endpoint
from sidegate.api.endpoint.v1.endpoint_service_pb2_grpc import EndpointsServiceStub
from sidegate.api.endpoint.v1.reachability_pb2 import TestEndpointRequest, TestEndpointResponse
from sidegate.api.endpoint.v1.traffic_pb2 import (
    TRAFFIC_SPAN_TEN_MINUTES,
    GetEndpointTrafficRequest,
    GetEndpointTrafficResponse,
    TrafficSpan,
)
from sidegate.api.endpoint.v1.watch_pb2 import WatchEndpointsRequest, WatchEndpointsResponse
from sidegate.api.registry.v1.listing_pb2 import LIST_ORDER_CREATE_TIME, ListOrder, TagFilter
from sidegate.api.registry.v1.tag_pb2 import Tag
from sidegate.resources.paging import SIZE, Page
from sidegate.transport import Caller
from sidegate.watching import Begin, Interrupted, Place, Watch

Whitelist: TypeAlias = Endpoint.Whitelist.ValueType


class Endpoints:
    """Addresses in the caller's own subnets that lead to services."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, EndpointsServiceStub(caller.channel)

    async def create(
        self,
        service: str,
        subnet_id: str = "",
        *,
        address: str = "",
        vpc_id: str = "",
        route_tables: Sequence[str] = (),
        allowed_cidrs: Sequence[str] = (),
        name: str = "",
        description: str = "",
        tags: Sequence[Tag] = (),
        whitelist: Whitelist = Endpoint.WHITELIST_UNSPECIFIED,
        policy: str = "",
        dns_enabled: bool = False,
        request_id: str = "",
    ) -> Endpoint:
        """Requests an endpoint of a service (its id or full name).

        Without `allowed_cidrs` it is for the whole VPC, unless the whitelist is enabled. Of a gateway-type service name
        the VPC instead of a subnet, and the route tables if they are others than the default one.
        """
        endpoint = Endpoint(
            service=service,
            subnet_id=subnet_id,
            address=address,
            vpc_id=vpc_id,
            route_tables=route_tables,
            allowed_cidrs=allowed_cidrs,
            name=name,
            description=description,
            tags=tags,
            whitelist=whitelist,
            policy=policy,
            dns_enabled=dns_enabled,
        )
        request = rpc.CreateEndpointRequest(endpoint=endpoint, request_id=request_id)
        return await self._caller.write(self._stub.CreateEndpoint, request)

    async def test(self, id: str) -> TestEndpointResponse:
        """Tries out whether packets pass, step by step; takes up to four seconds."""
        return await self._caller.ask(self._stub.TestEndpoint, TestEndpointRequest(id=id))

    async def traffic(
        self, id: str, *, span: TrafficSpan.ValueType = TRAFFIC_SPAN_TEN_MINUTES
    ) -> GetEndpointTrafficResponse:
        """What has passed, and what was refused: in all, now, and over time."""
        request = GetEndpointTrafficRequest(id=id, span=span)
        return await self._caller.ask(self._stub.GetEndpointTraffic, request)

    async def get(self, id: str) -> Endpoint:
        return await self._caller.ask(self._stub.GetEndpoint, rpc.GetEndpointRequest(id=id))

    async def list(
        self,
        *,
        states: Collection[ConnectionState.ValueType] = (),
        name_contains: str = "",
        service_id: str = "",
        vpc_id: str = "",
        tags: TagFilter | None = None,
        newest_first: bool = False,
        order: ListOrder.ValueType = LIST_ORDER_CREATE_TIME,
    ) -> AsyncIterator[Endpoint]:
        """Those in one of the states, with this in their name, of the service; all where nothing is said."""
        request = rpc.ListEndpointsRequest(
            states=states,
            name_contains=name_contains,
            service_id=service_id,
            vpc_id=vpc_id,
            tags=tags,
            newest_first=newest_first,
            order=order,
        )
        async for page in self._caller.pages(self._stub.ListEndpoints, request):
            for endpoint in page.endpoints:
                yield endpoint

    async def page(
        self,
        *,
        skip: int = 0,
        size: int = SIZE,
        states: Collection[ConnectionState.ValueType] = (),
        name_contains: str = "",
        service_id: str = "",
        service_name_contains: str = "",
        vpc_id: str = "",
        ids: Sequence[str] = (),
        tags: TagFilter | None = None,
        newest_first: bool = False,
        order: ListOrder.ValueType = LIST_ORDER_CREATE_TIME,
    ) -> Page[Endpoint]:
        """So many of those that match behind the first `skip`, and how many match in all."""
        request = rpc.ListEndpointsRequest(
            page_size=size,
            skip=skip,
            want_total=True,
            states=states,
            name_contains=name_contains,
            service_id=service_id,
            service_name_contains=service_name_contains,
            vpc_id=vpc_id,
            ids=ids,
            tags=tags,
            newest_first=newest_first,
            order=order,
        )
        answer = await self._caller.ask(self._stub.ListEndpoints, request)
        return Page(answer.endpoints, answer.total_size)

    async def update(
        self,
        id: str,
        *,
        name: str | None = None,
        allowed_cidrs: Sequence[str] | None = None,
        description: str | None = None,
        tags: Sequence[Tag] | None = None,
        whitelist: Whitelist | None = None,
        policy: str | None = None,
        dns_enabled: bool | None = None,
        route_tables: Sequence[str] | None = None,
        etag: str = "",
        request_id: str = "",
    ) -> Endpoint:
        """Changes what is given; what is None stays. Empty `allowed_cidrs` allow everybody in the VPC,
        unless the whitelist is enabled.
        """
        changes = {
            "name": name,
            "allowed_cidrs": allowed_cidrs,
            "description": description,
            "tags": tags,
            "whitelist": whitelist,
            "policy": policy,
            "dns_enabled": dns_enabled,
            "route_tables": route_tables,
        }
        wanted = Endpoint(
            id=id,
            etag=etag,
            name=name or "",
            allowed_cidrs=allowed_cidrs or (),
            description=description or "",
            tags=tags or (),
            whitelist=whitelist or Endpoint.WHITELIST_UNSPECIFIED,
            policy=policy or "",
            dns_enabled=dns_enabled or False,
            route_tables=route_tables or (),
        )
        request = rpc.UpdateEndpointRequest(
            endpoint=wanted,
            update_mask=FieldMask(paths=[path for path, value in changes.items() if value is not None]),
            request_id=request_id,
        )
        return await self._caller.write(self._stub.UpdateEndpoint, request)

    async def delete(self, id: str, *, drain: int = 0, etag: str = "", request_id: str = "") -> Endpoint:
        """Takes it away; established sessions go on for `drain` seconds, up to 3600."""
        request = rpc.DeleteEndpointRequest(id=id, drain=drain, etag=etag, request_id=request_id)
        return await self._caller.write(self._stub.DeleteEndpoint, request)

    def watch(
        self, *, id: str = "", service_id: str = "", after: Begin = None, interrupted: Interrupted | None = None
    ) -> Watch[WatchEndpointsResponse]:
        """What happens to the project's endpoints, or to the one, or to those of the service."""

        def ask(place: Place) -> AsyncGenerator[WatchEndpointsResponse, None]:
            request = WatchEndpointsRequest(
                after=place.after, log_id=place.log_id, epoch=place.epoch, id=id, service_id=service_id
            )
            return self._caller.stream(self._stub.WatchEndpoints, request)

        return Watch(ask, after, interrupted)
