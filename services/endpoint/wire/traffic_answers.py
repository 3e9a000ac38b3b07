"""What has passed, as the contract answers with it: each side reads what of refusals is its to know."""

from collections.abc import Mapping

from services.endpoint.domain.refusals import Cause, Refused, for_consumer, for_provider
from services.endpoint.domain.traffic_seen import Connected, Line, Seen, SeenGateway, SeenService
from services.endpoint.wire.traffic import moment, rates_message, series_message, traffic_message
from sidegate.api.endpoint.v1 import gateways_service_pb2 as gateways_pb
from sidegate.api.endpoint.v1 import traffic_pb2 as traffic_pb


def endpoint_traffic(endpoint: str, seen: Seen) -> traffic_pb.GetEndpointTrafficResponse:
    """For the endpoint's owner."""
    return traffic_pb.GetEndpointTrafficResponse(
        endpoint_id=endpoint,
        begin_time=moment(seen.began_at),
        total=traffic_message(seen.total, for_consumer),
        rates=rates_message(seen.rate, for_consumer),
        series=series_message(seen.series, for_consumer),
    )


def service_traffic(service: str, found: SeenService) -> traffic_pb.GetServiceTrafficResponse:
    """For the service's owner."""
    seen = found.seen
    return traffic_pb.GetServiceTrafficResponse(
        service_id=service,
        begin_time=moment(seen.began_at),
        total=traffic_message(seen.total, for_provider),
        rates=rates_message(seen.rate, for_provider),
        series=series_message(seen.series, for_provider),
        connections=map(_connection, found.connections),
        left_out=found.left_out,
    )


def _connection(connected: Connected) -> traffic_pb.ConnectionTraffic:
    of = connected.of
    return traffic_pb.ConnectionTraffic(
        endpoint_id=of.endpoint,
        marker_id=of.marker,
        account=of.owner.partition("/")[0],
        begin_time=moment(connected.began_at),
        total=traffic_message(connected.total, for_provider),
        rates=rates_message(connected.rate, for_provider),
    )


def passing_traffic(line: Line) -> traffic_pb.PassingTraffic:
    return traffic_pb.PassingTraffic(
        endpoint_id=line.of.endpoint,
        service_id=line.of.service,
        own_endpoint=line.owns,
        own_service=line.publishes,
        sessions=line.sessions,
        rates=rates_message(line.rate, for_consumer if line.owns else for_provider),
    )


def gateway_message(seen: SeenGateway) -> gateways_pb.Gateway:
    """For the operator."""
    state = gateways_pb.Gateway.STATE_JOINED if seen.joined else gateways_pb.Gateway.STATE_LOST
    shown = gateways_pb.Gateway(gateway_id=seen.member.id, cell=seen.member.cell, state=state)
    if seen.heard_at:
        shown.report_time.CopyFrom(moment(seen.heard_at))
    if (tally := seen.tally) is not None:
        condition = tally.condition
        shown.position, shown.in_sync, shown.version = condition.position, condition.in_sync, condition.version
        shown.session_capacity = condition.session_capacity
        shown.begin_time.CopyFrom(moment(tally.began_at))
        shown.total.CopyFrom(traffic_message(tally.total, _none))
        shown.total.refused.update(tally.refused)
        shown.rates.CopyFrom(rates_message(seen.rate, _all))
    return shown


def _none(_refused: Refused) -> Mapping[str, int]:
    """The gateway's own words are told instead."""
    return {}


def _all(refused: Mapping[Cause, float]) -> Mapping[str, float]:
    return {cause.value: number for cause, number in refused.items()}
