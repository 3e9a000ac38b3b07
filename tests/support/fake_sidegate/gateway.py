"""A gateway agent's table service."""

from sidegate.api.gateway.v1 import gateway_service_pb2, gateway_service_pb2_grpc, traffic_pb2
from tests.support.fake_sidegate.shelf import Context


class FakeGateway(gateway_service_pb2_grpc.TableServiceServicer):
    """Gives the table that was put under each source; writes down what it was asked."""

    def __init__(self) -> None:
        self.tables: dict[int, gateway_service_pb2.GetTableResponse] = {}
        self.asked: list[gateway_service_pb2.GetTableRequest] = []
        self.asked_traffic: list[traffic_pb2.GetTrafficRequest] = []
        self.traffic = traffic_pb2.GetTrafficResponse(gateway_id="gw-1", cell="default")
        self.state = gateway_service_pb2.GetStatusResponse(gateway_id="gw-1", cell="default", position=7, in_sync=True)

    async def GetTable(
        self, request: gateway_service_pb2.GetTableRequest, context: Context
    ) -> gateway_service_pb2.GetTableResponse:
        self.asked.append(request)
        return self.tables[request.source]

    async def GetTraffic(
        self, request: traffic_pb2.GetTrafficRequest, context: Context
    ) -> traffic_pb2.GetTrafficResponse:
        self.asked_traffic.append(request)
        return self.traffic

    async def GetStatus(
        self, request: gateway_service_pb2.GetStatusRequest, context: Context
    ) -> gateway_service_pb2.GetStatusResponse:
        return self.state
