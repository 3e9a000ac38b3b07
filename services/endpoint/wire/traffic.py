"""What has passed, as gateways tell it, and as owners and the operator are shown it."""

from collections.abc import Callable, Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.eventsourcing.resource_table import ResourceRow
from services.endpoint.domain.refusals import Cause, Refused, causes_of
from services.endpoint.domain.traffic import MOST, Counted, Passed
from services.endpoint.domain.traffic_rates import Rate
from services.endpoint.domain.traffic_series import Sample, Series
from services.endpoint.domain.traffic_tallies import Condition, Owned, Tally, Told
from sidegate.api.endpoint.v1 import traffic_pb2 as traffic_pb
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent
from sidegate.api.gateway.v1 import traffic_pb2 as reported_pb

MOST_SESSIONS = 2**40
LONGEST_REASON = 32
SPANS = {
    traffic_pb.TRAFFIC_SPAN_UNSPECIFIED: "fine",
    traffic_pb.TRAFFIC_SPAN_TEN_MINUTES: "fine",
    traffic_pb.TRAFFIC_SPAN_THREE_HOURS: "coarse",
}
Read = Callable[[Refused], Mapping[str, int]]
"""What of refusals somebody may read."""


def told_of(request: reported_pb.ReportTrafficRequest) -> Told:
    condition = request.condition
    return Told(
        session=request.session_id,
        number=request.number,
        counting=request.counting,
        endpoints=[(each.endpoint_id, _counted(each.traffic)) for each in request.endpoints],
        complete=request.complete,
        interval=max(0, request.since_last.ToNanoseconds()),
        condition=Condition(
            position=condition.position,
            in_sync=condition.in_sync,
            version=condition.version,
            sessions=min(condition.sessions, MOST_SESSIONS),
            session_capacity=condition.session_capacity,
            refused={
                reason[:LONGEST_REASON]: _bounded(number) for reason, number in condition.refused.items() if number > 0
            },
        ),
    )


def _counted(told: reported_pb.Traffic) -> Counted:
    counts = (told.sessions_made, told.packets_in, told.bytes_in, told.packets_out, told.bytes_out)
    refused = causes_of({reason: _bounded(number) for reason, number in told.refused.items()})
    return Counted(max(0, min(told.sessions, MOST_SESSIONS)), Passed(*map(_bounded, counts)), refused)


def _bounded(number: int) -> int:
    return max(0, min(number, MOST))


def owned_of(row: ResourceRow) -> Owned:
    """Of an endpoint's row, which is read without its number."""
    resource = EndpointEvent.FromString(row.data).endpoint
    return Owned(
        endpoint=row.id,
        owner=row.project,
        provider=row.counterpart,
        service=row.parent,
        cell=row.partition,
        marker=resource.marker_id,
        created_at=resource.create_time.ToNanoseconds(),
    )


def traffic_message(tally: Tally | Sample, read: Read) -> traffic_pb.Traffic:
    return traffic_pb.Traffic(sessions=tally.sessions, refused=read(tally.refused), **tally.passed._asdict())


def rates_message(rate: Rate, read: Callable[[Mapping[Cause, float]], Mapping[str, float]]) -> traffic_pb.TrafficRates:
    return traffic_pb.TrafficRates(
        bytes_in=rate.bytes_in,
        bytes_out=rate.bytes_out,
        packets_in=rate.packets_in,
        packets_out=rate.packets_out,
        refused=sum(read(rate.refused).values()),
    )


def series_message(series: Series, read: Read) -> traffic_pb.TrafficSeries:
    step = Duration()
    step.FromNanoseconds(series.step)
    samples = [traffic_message(sample, read) for sample in series.samples]
    return traffic_pb.TrafficSeries(start_time=moment(series.start), step=step, samples=samples)


def moment(nanoseconds: int) -> Timestamp:
    found = Timestamp()
    found.FromNanoseconds(nanoseconds)
    return found
