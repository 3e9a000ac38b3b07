"""What a service asks of this gateway, as its entry of the forwarding log has it <-> values of the table."""

import re
from dataclasses import astuple, replace

from services.common.rpc.service_settings import (
    health_check_message,
    health_check_of,
    settings_message,
    settings_of,
)
from services.common.service_settings import Affinity as SaidAffinity
from services.common.service_settings import HealthCheck as SaidCheck
from services.common.service_settings import HealthProtocol as SaidProtocol
from services.common.service_settings import SessionSettings
from services.gateway_agent.table import Affinity, HealthCheck, HealthProtocol, Limits, Service, Timeouts
from sidegate.api.events.v1.forwarding_pb2 import ServiceForwarding
from sidegate.api.registry.v1.endpoint_service_pb2 import ConsumerLimits

PATH = re.compile(r"/[!-~]*")
"""What may stand in the first line of a request by HTTP."""

HIGHEST_PORT = 65_535


def with_settings(service: Service, told: ServiceForwarding) -> Service:
    """The service with what it asks; what is not told is the default. Raises ValueError for what cannot be meant."""
    said = settings_of(told.session_settings)
    timeouts = Timeouts(said.tcp_established, said.tcp_half_open, said.tcp_closed, said.udp_two_way, said.udp_one_way)
    if min(astuple(timeouts)) < 0:
        raise ValueError(f"{timeouts} are no idle limits: seconds from 1")
    return replace(
        service,
        timeouts=timeouts,
        affinity=Affinity(said.affinity.value),
        limits=_limits(told.limits),
        reset_expired=said.reset_expired,
        health_check=_check(health_check_of(told.health_check)) if told.HasField("health_check") else None,
    )


def fill_settings(told: ServiceForwarding, service: Service) -> None:
    """Tells what the service asks, where it is not the default."""
    idle = service.timeouts
    said = SessionSettings(
        tcp_established=idle.tcp_established,
        tcp_half_open=idle.tcp_half_open,
        tcp_closed=idle.tcp_closed,
        udp_two_way=idle.udp_two_way,
        udp_one_way=idle.udp_one_way,
        affinity=SaidAffinity(service.affinity.value),
        reset_expired=service.reset_expired,
    )
    if message := settings_message(said):
        told.session_settings.CopyFrom(message)
    if service.limits != Limits():
        told.limits.CopyFrom(_limits_message(service.limits))
    if service.health_check is not None:
        told.health_check.CopyFrom(health_check_message(_said(service.health_check)))


def _limits(told: ConsumerLimits) -> Limits:
    limits = Limits(told.connections, told.new_connections_per_second, told.bits_per_second)
    if min(astuple(limits)) < 0:
        raise ValueError(f"{limits} are no limits: from 0, which is none")
    return limits


def _limits_message(limits: Limits) -> ConsumerLimits:
    return ConsumerLimits(
        connections=limits.connections,
        new_connections_per_second=limits.new_connections_per_second,
        bits_per_second=limits.bits_per_second,
    )


def _check(said: SaidCheck) -> HealthCheck:
    if not 0 < said.port <= HIGHEST_PORT:
        raise ValueError(f"health check of port {said.port}, outside 1 to {HIGHEST_PORT}")
    if not PATH.fullmatch(said.path):
        raise ValueError(f"health check of {said.path!r}, which is no path")
    if said.statuses[0] > said.statuses[1]:
        raise ValueError(f"health check that no status of {said.statuses} answers")
    if min(said.statuses[0], said.interval, said.timeout, said.healthy_after, said.unhealthy_after) < 0:
        raise ValueError("health check with a number below 0")
    return HealthCheck(
        protocol=HealthProtocol(said.protocol.value),
        port=said.port,
        path=said.path,
        statuses=said.statuses,
        interval=said.interval,
        timeout=said.timeout,
        healthy_after=said.healthy_after,
        unhealthy_after=said.unhealthy_after,
    )


def _said(check: HealthCheck) -> SaidCheck:
    return SaidCheck(
        protocol=SaidProtocol(check.protocol.value),
        port=check.port,
        path=check.path,
        statuses=check.statuses,
        interval=check.interval,
        timeout=check.timeout,
        healthy_after=check.healthy_after,
        unhealthy_after=check.unhealthy_after,
    )
