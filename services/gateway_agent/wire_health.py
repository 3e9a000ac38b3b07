"""How backends are, as the contract has it."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.clock import SECOND
from services.gateway_agent.backend_health import BackendHealth, Condition, ServiceHealth
from sidegate.api.gateway.v1 import backend_health_pb2 as health_pb

MAX_ERROR = 120
_CONDITIONS = {
    Condition.WELL: health_pb.BackendHealthReport.CONDITION_WELL,
    Condition.UNKNOWN: health_pb.BackendHealthReport.CONDITION_UNKNOWN,
    Condition.UNHEALTHY: health_pb.BackendHealthReport.CONDITION_UNHEALTHY,
}


def health_to_proto(health: ServiceHealth) -> health_pb.ServiceHealthReport:
    return health_pb.ServiceHealthReport(service_id=health.service, backends=map(_backend, health.backends))


def _backend(health: BackendHealth) -> health_pb.BackendHealthReport:
    return health_pb.BackendHealthReport(
        address=str(health.address),
        condition=_CONDITIONS[health.condition],
        since=_moment(health.since),
        takes_sessions=health.takes_sessions,
        draining=health.draining,
        error=health.error[:MAX_ERROR],
        error_time=_moment(health.failed_at) if health.failed_at else None,
        median=_duration(health.median) if health.median is not None else None,
    )


def _moment(nanoseconds: int) -> Timestamp:
    moment = Timestamp()
    moment.FromNanoseconds(nanoseconds)
    return moment


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * SECOND))
    return duration
