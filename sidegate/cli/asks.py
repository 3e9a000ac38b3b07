"""What a service asks of gateways, as people read it."""

from sidegate.api.events.v1.forwarding_pb2 import ServiceForwarding
from sidegate.api.registry.v1.endpoint_service_pb2 import ConsumerLimits, HealthCheck, SessionSettings

USUAL = SessionSettings(
    tcp_established_seconds=350,
    tcp_half_open_seconds=30,
    tcp_closed_seconds=10,
    udp_two_way_seconds=120,
    udp_one_way_seconds=30,
)
"""What holds where a service shows nothing else."""


def sessions(value: SessionSettings) -> str:
    """tcp idle 350 s, half-open 30 s, closed 10 s; udp idle 120 s, one-way 30 s; affinity source-address"""
    said = [
        f"tcp idle {value.tcp_established_seconds} s, half-open {value.tcp_half_open_seconds} s, "
        f"closed {value.tcp_closed_seconds} s",
        f"udp idle {value.udp_two_way_seconds} s, one-way {value.udp_one_way_seconds} s",
    ]
    said += ["affinity source-address"] * (value.affinity == SessionSettings.AFFINITY_SOURCE_ADDRESS)
    said += ["expired ones are reset"] * value.reset_expired
    return "; ".join(said)


def health(value: HealthCheck) -> str:
    """http:8080/healthz is 200-399 every 5 s, within 2 s; well after 2, not after 2"""
    http = value.protocol == HealthCheck.PROTOCOL_HTTP
    port = f":{value.port}" if value.port else ""
    asked = f"http{port}{value.path} is {value.first_status}-{value.last_status}" if http else f"tcp{port} accepts"
    when = f"every {value.interval_seconds} s, within {value.timeout_seconds} s"
    return f"{asked} {when}; well after {value.healthy_after}, not after {value.unhealthy_after}"


def limits(value: ConsumerLimits) -> str:
    return ", ".join(f"{field.name.replace('_', ' ')}: {limit}" for field, limit in value.ListFields())


def all_of(service: ServiceForwarding) -> str:
    """What is not as usual; empty where all is."""
    said = [sessions(service.session_settings)] * service.HasField("session_settings")
    said += [limits(service.limits)] * service.HasField("limits")
    said += [health(service.health_check)] * service.HasField("health_check")
    return "; ".join(said)
