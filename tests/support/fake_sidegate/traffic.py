"""What has passed and how gateways are, in memory: always the same."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.endpoint.v1 import gateways_service_pb2 as gateways_pb
from sidegate.api.endpoint.v1 import gateways_service_pb2_grpc as gateways_grpc
from sidegate.api.endpoint.v1 import traffic_pb2 as traffic_pb
from sidegate.api.endpoint.v1 import traffic_pb2_grpc as traffic_grpc
from sidegate.api.endpoint.v1.endpoint_pb2 import Endpoint
from tests.support.fake_sidegate.shelf import Context, Shelf, page

BEGAN = Timestamp(seconds=1_700_000_000)
RATES = traffic_pb.TrafficRates(bytes_in=1500, bytes_out=25_000_000, packets_in=20, packets_out=30.5, refused=2)
STEPS = {
    traffic_pb.TRAFFIC_SPAN_UNSPECIFIED: 5,
    traffic_pb.TRAFFIC_SPAN_TEN_MINUTES: 5,
    traffic_pb.TRAFFIC_SPAN_THREE_HOURS: 60,
}


def passed(**refused: int) -> traffic_pb.Traffic:
    return traffic_pb.Traffic(
        sessions=3,
        sessions_made=40,
        packets_in=900,
        bytes_in=123_456,
        packets_out=800,
        bytes_out=7_000,
        refused=refused,
    )


def series(span: traffic_pb.TrafficSpan.ValueType, **refused: int) -> traffic_pb.TrafficSeries:
    samples = [
        traffic_pb.Traffic(sessions=2, sessions_made=30, packets_in=600, bytes_in=100_000),
        traffic_pb.Traffic(sessions=2),
        traffic_pb.Traffic(
            sessions=3, sessions_made=10, packets_in=300, bytes_in=23_456, bytes_out=7_000, refused=refused
        ),
    ]
    return traffic_pb.TrafficSeries(start_time=BEGAN, step=Duration(seconds=STEPS[span]), samples=samples)


def of_endpoint(request: traffic_pb.GetEndpointTrafficRequest) -> traffic_pb.GetEndpointTrafficResponse:
    refused = {"whitelist": 12, "port": 4}
    return traffic_pb.GetEndpointTrafficResponse(
        endpoint_id=request.id,
        begin_time=BEGAN,
        total=passed(**refused),
        rates=RATES,
        series=series(request.span, **refused),
    )


def of_service(
    request: traffic_pb.GetServiceTrafficRequest, endpoints: list[Endpoint]
) -> traffic_pb.GetServiceTrafficResponse:
    refused = {"backend": 7}
    told = [each for each in endpoints if request.endpoint_id in ("", each.id)]
    connections = [
        traffic_pb.ConnectionTraffic(
            endpoint_id=each.id,
            marker_id=each.marker_id,
            account=each.account or "shop",
            begin_time=BEGAN,
            total=passed(**refused),
            rates=RATES,
        )
        for each in told
    ]
    return traffic_pb.GetServiceTrafficResponse(
        service_id=request.service_id,
        begin_time=BEGAN,
        total=passed(**refused) if told else None,
        rates=RATES if told else None,
        series=series(request.span, **refused) if told else None,
        connections=connections[: request.limit or 100],
        left_out=max(0, len(connections) - (request.limit or 100)),
    )


class FakeTraffic(traffic_grpc.TrafficServiceServicer):
    def __init__(self, endpoints: Shelf[Endpoint]) -> None:
        self._endpoints = endpoints

    async def ListTraffic(
        self, request: traffic_pb.ListTrafficRequest, context: Context
    ) -> traffic_pb.ListTrafficResponse:
        shown, token = page(self._endpoints.values(), request)
        passing = [
            traffic_pb.PassingTraffic(
                endpoint_id=each.id, service_id=each.service, own_endpoint=True, sessions=3, rates=RATES
            )
            for each in shown
        ]
        return traffic_pb.ListTrafficResponse(passing=passing, next_page_token=token)


class FakeGateways(gateways_grpc.GatewaysServiceServicer):
    def __init__(self) -> None:
        joined, lost = gateways_pb.Gateway.STATE_JOINED, gateways_pb.Gateway.STATE_LOST
        self.gateways = [
            gateways_pb.Gateway(
                gateway_id="gw-1",
                cell="default",
                state=joined,
                report_time=Timestamp(seconds=1_700_000_100),
                position=812,
                in_sync=True,
                version="0.9.0",
                session_capacity=131_072,
                begin_time=BEGAN,
                total=passed(no_port=37, ttl=2),
                rates=RATES,
            ),
            gateways_pb.Gateway(gateway_id="gw-2", cell="west", state=lost, report_time=BEGAN),
        ]

    async def ListGateways(
        self, request: gateways_pb.ListGatewaysRequest, context: Context
    ) -> gateways_pb.ListGatewaysResponse:
        wanted = [each for each in self.gateways if request.cell in ("", each.cell)]
        shown, token = page(wanted, request)
        return gateways_pb.ListGatewaysResponse(gateways=shown, next_page_token=token, position=815)
