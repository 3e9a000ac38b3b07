"""How backends are, as gateways report it, and as owners are shown it."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.endpoint.domain.backend_health import BackendHealth, Backends, Condition
from sidegate.api.endpoint.v1 import backend_health_pb2 as health_pb
from sidegate.api.gateway.v1 import backend_health_pb2 as reported_pb

_REPORTED = {
    reported_pb.BackendHealthReport.CONDITION_WELL: Condition.WELL,
    reported_pb.BackendHealthReport.CONDITION_UNHEALTHY: Condition.UNHEALTHY,
}
_SHOWN = {
    Condition.WELL: health_pb.BackendHealth.CONDITION_WELL,
    Condition.UNKNOWN: health_pb.BackendHealth.CONDITION_UNKNOWN,
    Condition.UNHEALTHY: health_pb.BackendHealth.CONDITION_UNHEALTHY,
}


def backends_of(report: reported_pb.ServiceHealthReport) -> Backends:
    return tuple(map(_backend, report.backends))


def _backend(told: reported_pb.BackendHealthReport) -> BackendHealth:
    """A condition that is newer than this program counts as unknown."""
    return BackendHealth(
        address=told.address,
        condition=_REPORTED.get(told.condition, Condition.UNKNOWN),
        since=told.since.ToNanoseconds(),
        takes_sessions=told.takes_sessions,
        draining=told.draining,
        error=told.error,
        error_at=told.error_time.ToNanoseconds(),
        median=told.median.ToNanoseconds(),
    )


def gateway_health(gateway: str, backends: Backends) -> health_pb.GatewayHealth:
    """For the service's owner."""
    return health_pb.GatewayHealth(gateway_id=gateway, backends=map(_shown, backends))


def _shown(health: BackendHealth) -> health_pb.BackendHealth:
    return health_pb.BackendHealth(
        address=health.address,
        condition=_SHOWN[health.condition],
        since=_moment(health.since),
        takes_sessions=health.takes_sessions,
        draining=health.draining,
        last_error=health.error,
        last_error_time=_moment(health.error_at) if health.error_at else None,
        median_time=_duration(health.median) if health.median else None,
    )


def _moment(nanoseconds: int) -> Timestamp:
    moment = Timestamp()
    moment.FromNanoseconds(nanoseconds)
    return moment


def _duration(nanoseconds: int) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(nanoseconds)
    return duration
