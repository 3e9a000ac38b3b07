"""What a service asks of gateways: the contract's messages to values, and back.

What is 0, or not there, is the default, also where it was stored before it existed. A protocol or an affinity of a
later version is read as the usual one: a service goes on without what a program does not know.
"""

from services.common.service_settings import USUAL, Affinity, HealthCheck, HealthProtocol, SessionSettings
from sidegate.api.registry.v1 import endpoint_service_pb2 as service_pb

AFFINITIES = {
    Affinity.NONE: service_pb.SessionSettings.AFFINITY_NONE,
    Affinity.SOURCE_ADDRESS: service_pb.SessionSettings.AFFINITY_SOURCE_ADDRESS,
}
HEALTH_PROTOCOLS = {
    HealthProtocol.TCP: service_pb.HealthCheck.PROTOCOL_TCP,
    HealthProtocol.HTTP: service_pb.HealthCheck.PROTOCOL_HTTP,
}
_AFFINITIES = {number: affinity for affinity, number in AFFINITIES.items()}
_HEALTH_PROTOCOLS = {number: protocol for protocol, number in HEALTH_PROTOCOLS.items()}
_ASKED = HealthCheck()


def settings_of(message: service_pb.SessionSettings) -> SessionSettings:
    return SessionSettings(
        tcp_established=message.tcp_established_seconds or USUAL.tcp_established,
        tcp_half_open=message.tcp_half_open_seconds or USUAL.tcp_half_open,
        tcp_closed=message.tcp_closed_seconds or USUAL.tcp_closed,
        udp_two_way=message.udp_two_way_seconds or USUAL.udp_two_way,
        udp_one_way=message.udp_one_way_seconds or USUAL.udp_one_way,
        affinity=_AFFINITIES.get(message.affinity, Affinity.NONE),
        reset_expired=message.reset_expired,
    )


def settings_message(settings: SessionSettings) -> service_pb.SessionSettings | None:
    """None where all is as usual, as it was before there were any."""
    if settings == USUAL:
        return None
    return service_pb.SessionSettings(
        tcp_established_seconds=settings.tcp_established,
        tcp_half_open_seconds=settings.tcp_half_open,
        tcp_closed_seconds=settings.tcp_closed,
        udp_two_way_seconds=settings.udp_two_way,
        udp_one_way_seconds=settings.udp_one_way,
        affinity=AFFINITIES[settings.affinity],
        reset_expired=settings.reset_expired,
    )


def health_check_of(message: service_pb.HealthCheck) -> HealthCheck:
    protocol = _HEALTH_PROTOCOLS.get(message.protocol, HealthProtocol.TCP)
    asks = message if protocol is HealthProtocol.HTTP else service_pb.HealthCheck()
    interval = message.interval_seconds or _ASKED.interval
    return HealthCheck(
        protocol=protocol,
        port=message.port,
        path=asks.path or _ASKED.path,
        statuses=(asks.first_status or _ASKED.statuses[0], asks.last_status or _ASKED.statuses[1]),
        interval=interval,
        timeout=message.timeout_seconds or min(_ASKED.timeout, interval),
        healthy_after=message.healthy_after or _ASKED.healthy_after,
        unhealthy_after=message.unhealthy_after or _ASKED.unhealthy_after,
    )


def health_check_message(check: HealthCheck) -> service_pb.HealthCheck:
    """What counts for HTTP alone is left out for TCP."""
    message = service_pb.HealthCheck(
        protocol=HEALTH_PROTOCOLS[check.protocol],
        port=check.port,
        interval_seconds=check.interval,
        timeout_seconds=check.timeout,
        healthy_after=check.healthy_after,
        unhealthy_after=check.unhealthy_after,
    )
    if check.protocol is HealthProtocol.HTTP:
        message.path = check.path
        message.first_status, message.last_status = check.statuses
    return message
