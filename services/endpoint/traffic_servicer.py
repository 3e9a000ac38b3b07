"""What passes everywhere, for owners; and gateways, for the operator."""

from services.common.eventsourcing.store import EventStore
from services.common.rpc import paging
from services.common.rpc.auth import principal, require_operator
from services.common.rpc.calls import Context
from services.endpoint.application.gateways import Gateways
from services.endpoint.application.traffic import Traffic
from services.endpoint.domain.traffic_seen import Line, SeenGateway
from services.endpoint.wire.traffic_answers import gateway_message, passing_traffic
from sidegate.api.endpoint.v1 import gateways_service_pb2 as gateways_pb
from sidegate.api.endpoint.v1 import traffic_pb2 as traffic_pb
from sidegate.api.endpoint.v1.gateways_service_pb2_grpc import GatewaysServiceServicer
from sidegate.api.endpoint.v1.traffic_pb2_grpc import TrafficServiceServicer


class TrafficServicer(TrafficServiceServicer):
    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    async def ListTraffic(
        self, request: traffic_pb.ListTrafficRequest, context: Context
    ) -> traffic_pb.ListTrafficResponse:
        asked = paging.asked_by_id(request)
        shown, token = asked.cut(self._traffic.passing(principal(), asked.after, asked.size + 1), _endpoint)
        return traffic_pb.ListTrafficResponse(passing=map(passing_traffic, shown), next_page_token=token)


class GatewaysServicer(GatewaysServiceServicer):
    def __init__(self, gateways: Gateways, store: EventStore) -> None:
        self._gateways, self._store = gateways, store

    async def ListGateways(
        self, request: gateways_pb.ListGatewaysRequest, context: Context
    ) -> gateways_pb.ListGatewaysResponse:
        require_operator()
        asked = paging.asked_by_id(request)
        shown, token = asked.cut(self._gateways.listed(request.cell, asked.after, asked.size + 1), _gateway)
        position = (await self._store.head()).position
        return gateways_pb.ListGatewaysResponse(
            gateways=map(gateway_message, shown), next_page_token=token, position=position
        )


def _endpoint(line: Line) -> str:
    return line.of.endpoint


def _gateway(seen: SeenGateway) -> str:
    return seen.member.id
