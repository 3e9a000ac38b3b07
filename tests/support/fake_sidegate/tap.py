"""A gateway agent's tap service: answers that were put here."""

from collections.abc import AsyncIterator, Sequence

import grpc

from sidegate.api.gateway.v1 import tap_service_pb2 as tap_pb
from sidegate.api.gateway.v1.tap_service_pb2_grpc import TapServiceServicer
from tests.support.fake_sidegate.shelf import Context


class FakeTap(TapServiceServicer):
    """Writes down what it was asked; without packets it has no such endpoint."""

    def __init__(self) -> None:
        self.flows: Sequence[tap_pb.FollowFlowsResponse] = ()
        self.captured: Sequence[tap_pb.CaptureResponse] = ()
        self.asked: list[tap_pb.FollowFlowsRequest | tap_pb.CaptureRequest] = []

    async def FollowFlows(
        self, request: tap_pb.FollowFlowsRequest, context: Context
    ) -> AsyncIterator[tap_pb.FollowFlowsResponse]:
        self.asked.append(request)
        for answer in self.flows:
            yield answer

    async def Capture(self, request: tap_pb.CaptureRequest, context: Context) -> AsyncIterator[tap_pb.CaptureResponse]:
        self.asked.append(request)
        if not self.captured:
            await context.abort(grpc.StatusCode.NOT_FOUND, "endpoint is not there")
        for answer in self.captured:
            yield answer
