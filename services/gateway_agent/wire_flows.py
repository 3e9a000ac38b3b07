"""Flow records as the contract has them."""

from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway_agent.flows import FlowRecord
from sidegate.api.gateway.v1.flow_pb2 import Flow


def flow_message(record: FlowRecord, gateway: str, one_of: int) -> Flow:
    return Flow(
        endpoint_id=record.endpoint,
        marker_id=record.marker,
        service_id=record.service,
        vpc_id=record.vpc,
        protocol=record.protocol.value,
        client=str(record.client),
        client_port=record.client_port,
        address=str(record.address),
        port=record.port,
        packets_in=record.packets_in,
        bytes_in=record.bytes_in,
        packets_out=record.packets_out,
        bytes_out=record.bytes_out,
        begin_time=_moment(record.began),
        end_time=_moment(record.ended),
        verdict=record.verdict,
        gateway_id=gateway,
        one_of=one_of,
    )


def _moment(nanoseconds: int) -> Timestamp:
    moment = Timestamp()
    moment.FromNanoseconds(nanoseconds)
    return moment
