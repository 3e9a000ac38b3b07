"""What has passed, as the contract has it: the endpoints with the most of it."""

import heapq
from collections.abc import Callable, Mapping
from ipaddress import ip_address

from services.gateway_agent.meter import Reading
from services.gateway_agent.sources import sources_of
from services.gateway_agent.sums import together
from services.gateway_agent.table import Endpoint
from services.gateway_agent.traffic import Traffic
from sidegate.api.gateway.v1 import traffic_pb2 as traffic_pb

USUAL_LIMIT = 20
Measure = Callable[[traffic_pb.EndpointTraffic], float]

ORDERS: Mapping[int, Measure] = {
    traffic_pb.GetTrafficRequest.ORDER_UNSPECIFIED: lambda of: of.traffic.bytes_in + of.traffic.bytes_out,
    traffic_pb.GetTrafficRequest.ORDER_BYTES: lambda of: of.traffic.bytes_in + of.traffic.bytes_out,
    traffic_pb.GetTrafficRequest.ORDER_SESSIONS: lambda of: of.traffic.sessions,
    traffic_pb.GetTrafficRequest.ORDER_REFUSED: lambda of: sum(of.traffic.refused.values()),
    traffic_pb.GetTrafficRequest.ORDER_SOURCES: lambda of: of.traffic.sessions / of.source_capacity,
}


def traffic_response(reading: Reading, request: traffic_pb.GetTrafficRequest) -> traffic_pb.GetTrafficResponse:
    """Where two have as much, they are in the order of their addresses."""
    told, measure = _endpoints(reading), ORDERS[request.order]
    chosen = heapq.nsmallest(
        request.limit or USUAL_LIMIT,
        told,
        key=lambda each: (-measure(each), ip_address(each.address), each.endpoint_id),
    )
    there = len(reading.ground.endpoints)
    total = together(reading.traffic)
    return traffic_pb.GetTrafficResponse(endpoints=chosen, left_out=there - len(chosen), total=traffic_to_proto(total))


def _endpoints(reading: Reading) -> list[traffic_pb.EndpointTraffic]:
    told = []
    for id_, passed in reading.traffic.items():
        entry = reading.ground.endpoints.get(id_)
        if entry is not None and passed != NOTHING:
            told.append(_endpoint(entry, passed, reading))
    return told


NOTHING = Traffic()


def _endpoint(entry: Endpoint, passed: Traffic, reading: Reading) -> traffic_pb.EndpointTraffic:
    return traffic_pb.EndpointTraffic(
        endpoint_id=entry.id,
        service_id=entry.service,
        address=str(entry.address),
        traffic=traffic_to_proto(passed),
        sources=sources_of(entry),
        source_capacity=reading.ground.all_hold(entry),
    )


def traffic_to_proto(passed: Traffic) -> traffic_pb.Traffic:
    return traffic_pb.Traffic(
        sessions=passed.sessions,
        sessions_made=passed.sessions_made,
        packets_in=passed.packets_in,
        bytes_in=passed.bytes_in,
        packets_out=passed.packets_out,
        bytes_out=passed.bytes_out,
        refused={reason: number for reason, number in passed.refused.items() if number},
    )
