"""What passes this gateway, shown to root of its machine: sessions as they end, packets as they pass."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import structlog

from services.common.errors import NotFound, QuotaReached, WrongState
from services.common.rpc.calls import Context
from services.gateway_agent import captures
from services.gateway_agent.capturing import LONGEST_SECONDS, MOST_BYTES, MOST_PACKETS, CaptureLimits, Capturing, Ended
from services.gateway_agent.dataplane.port import Dataplane, NotReady
from services.gateway_agent.flow_log import AT_ONCE, FlowLog
from services.gateway_agent.flows import FlowRecord
from services.gateway_agent.wire_capture import end, head, packets
from services.gateway_agent.wire_flows import flow_message
from sidegate.api.gateway.v1 import tap_service_pb2 as tap_pb
from sidegate.api.gateway.v1.tap_service_pb2_grpc import TapServiceServicer

MOST_CAPTURES = 4
REASONS = {
    Ended.PACKETS: tap_pb.CaptureEnd.REASON_PACKETS,
    Ended.TIME: tap_pb.CaptureEnd.REASON_TIME,
    Ended.BYTES: tap_pb.CaptureEnd.REASON_BYTES,
    Ended.GONE: tap_pb.CaptureEnd.REASON_GONE,
}

log = structlog.get_logger(__name__)


class TapServicer(TapServiceServicer):
    def __init__(self, gateway: str, dataplane: Dataplane, flow_log: FlowLog) -> None:
        self._gateway, self._dataplane, self._flow_log = gateway, dataplane, flow_log
        self._running = 0

    async def FollowFlows(
        self, request: tap_pb.FollowFlowsRequest, context: Context
    ) -> AsyncIterator[tap_pb.FollowFlowsResponse]:
        if not self._flow_log.on:
            raise WrongState("NO_FLOW_LOG", "this gateway keeps no flow log: start it with --flow-log full, or 1/100")
        with self._flow_log.following() as follower:
            if request.newest and (newest := self._of(request.endpoint_id, self._flow_log.newest(AT_ONCE))):
                yield self._answer(newest[-request.newest :])
            while request.follow:
                records, left_out = await follower.batch()
                if (chosen := self._of(request.endpoint_id, records)) or left_out:
                    yield self._answer(chosen, left_out)

    async def Capture(self, request: tap_pb.CaptureRequest, context: Context) -> AsyncIterator[tap_pb.CaptureResponse]:
        if self._running >= MOST_CAPTURES:
            raise QuotaReached("TOO_MANY_CAPTURES", f"{MOST_CAPTURES} captures are under way on this gateway")
        limits = _limits(request)
        capture = self._begun(request.endpoint_id, limits)
        about = log.bind(endpoint=request.endpoint_id, who=request.who or "unknown", uid="root of this machine")
        # Who looked into a tenant's packets is to be found later, also where the gateway ends meanwhile.
        about.warning("capture begun", packets=limits.packets, seconds=limits.seconds, snap=limits.snap)
        self._running += 1
        capturing = Capturing(capture, limits)
        try:
            yield head(self._gateway, request.endpoint_id, capture.devices, limits.snap)
            async with aclosing(capturing.parts()) as parts:
                async for part in parts:
                    yield packets(part)
            yield end(REASONS[capturing.ended or Ended.GONE], capturing.packets, capture.dropped())
        finally:
            self._running -= 1
            about.warning("capture ended", packets=capturing.packets, dropped=capture.dropped())
            capture.close()

    def _begun(self, endpoint: str, limits: CaptureLimits) -> captures.Capture:
        try:
            capture = self._dataplane.capture(endpoint, limits.snap)
        except NotReady as error:
            raise WrongState("NOT_READY", str(error)) from error
        if capture is None:
            raise NotFound("endpoint", endpoint)
        return capture

    def _of(self, endpoint: str, records: Sequence[FlowRecord]) -> Sequence[FlowRecord]:
        return [each for each in records if endpoint in ("", each.endpoint)]

    def _answer(self, records: Sequence[FlowRecord], left_out: int = 0) -> tap_pb.FollowFlowsResponse:
        flows = [flow_message(each, self._gateway, self._flow_log.one_of) for each in records]
        return tap_pb.FollowFlowsResponse(flows=flows, left_out=left_out)


def _limits(request: tap_pb.CaptureRequest) -> CaptureLimits:
    """What is 0 or not set is the most."""
    within = request.within.ToTimedelta().total_seconds() if request.HasField("within") else LONGEST_SECONDS
    return CaptureLimits(
        request.packets or MOST_PACKETS,
        min(within, LONGEST_SECONDS),
        request.bytes or MOST_BYTES,
        request.snap_length or captures.LONGEST_SNAP,
    )
