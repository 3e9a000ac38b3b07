"""Captures as the contract has them."""

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway_agent.captures import Captured, Side, TappedDevice
from sidegate.api.gateway.v1 import tap_service_pb2 as tap_pb

SIDES = {
    Side.CONSUMER: tap_pb.CaptureDevice.SIDE_CONSUMER,
    Side.PROVIDER: tap_pb.CaptureDevice.SIDE_PROVIDER,
    Side.BOTH: tap_pb.CaptureDevice.SIDE_BOTH,
}


def head(gateway: str, endpoint: str, devices: Sequence[TappedDevice], snap: int) -> tap_pb.CaptureResponse:
    told = [
        tap_pb.CaptureDevice(side=SIDES[each.side], name=each.name, namespace=each.namespace, filter=each.filter)
        for each in devices
    ]
    return tap_pb.CaptureResponse(
        head=tap_pb.CaptureHead(gateway_id=gateway, endpoint_id=endpoint, devices=told, snap_length=snap)
    )


def packets(captured: Sequence[Captured]) -> tap_pb.CaptureResponse:
    return tap_pb.CaptureResponse(packets=tap_pb.CapturedPackets(packets=map(_packet, captured)))


def end(reason: tap_pb.CaptureEnd.Reason.ValueType, taken: int, dropped: int) -> tap_pb.CaptureResponse:
    return tap_pb.CaptureResponse(end=tap_pb.CaptureEnd(reason=reason, packets=taken, dropped=dropped))


def _packet(captured: Captured) -> tap_pb.CapturedPacket:
    at = Timestamp()
    at.FromNanoseconds(captured.at)
    return tap_pb.CapturedPacket(
        device=captured.device, time=at, outbound=captured.outbound, length=captured.length, data=captured.data
    )
