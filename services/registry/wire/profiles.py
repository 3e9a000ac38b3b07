"""What a service says of itself: tags, types and what backends are to learn, asked for, stored and shown."""

from collections.abc import Iterable, Mapping

from services.common.errors import Invalid
from services.common.labels import Tag, tags_of
from services.common.rpc.service_settings import health_check_message, health_check_of
from services.common.service_settings import HealthCheck, HealthProtocol
from services.registry.domain.publication import (
    HEALTH_CHECK,
    UNCHECKED,
    ApprovalRules,
    ClientIdentity,
    ConsumerLimits,
    ServerType,
    ServiceType,
    Unchecked,
)
from sidegate.api.events.v1.registry_events_pb2 import ServiceHealthCheck
from sidegate.api.registry.v1.endpoint_service_pb2 import ApprovalRules as RulesMessage
from sidegate.api.registry.v1.endpoint_service_pb2 import ConsumerLimits as LimitsMessage
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.api.registry.v1.endpoint_service_pb2 import HealthCheck as HealthCheckMessage
from sidegate.api.registry.v1.tag_pb2 import Tag as TagMessage

IDENTITIES: Mapping[ClientIdentity, EndpointService.ClientIdentity.ValueType] = {
    ClientIdentity.NONE: EndpointService.CLIENT_IDENTITY_NONE,
    ClientIdentity.TOA: EndpointService.CLIENT_IDENTITY_TOA,
    ClientIdentity.PROXY_PROTOCOL: EndpointService.CLIENT_IDENTITY_PROXY_PROTOCOL,
    ClientIdentity.TOA_AND_PROXY_PROTOCOL: EndpointService.CLIENT_IDENTITY_TOA_AND_PROXY_PROTOCOL,
    ClientIdentity.PROXY_PROTOCOL_WITH_MARKER: EndpointService.CLIENT_IDENTITY_PROXY_PROTOCOL_WITH_MARKER,
}
SERVICE_TYPES: Mapping[ServiceType, EndpointService.ServiceType.ValueType] = {
    ServiceType.INTERFACE: EndpointService.SERVICE_TYPE_INTERFACE,
    ServiceType.GATEWAY: EndpointService.SERVICE_TYPE_GATEWAY,
}
SERVER_TYPES: Mapping[ServerType, EndpointService.ServerType.ValueType] = {
    ServerType.VM: EndpointService.SERVER_TYPE_VM,
    ServerType.LB: EndpointService.SERVER_TYPE_LB,
    ServerType.VIP: EndpointService.SERVER_TYPE_VIP,
    ServerType.CLOUD: EndpointService.SERVER_TYPE_CLOUD,
}
IP_VERSIONS: dict[int, EndpointService.IpVersion.ValueType] = {
    4: EndpointService.IP_VERSION_IPV4,
    6: EndpointService.IP_VERSION_IPV6,
}

_IDENTITIES = {number: identity for identity, number in IDENTITIES.items()}
_SERVICE_TYPES = {number: type_ for type_, number in SERVICE_TYPES.items()}
_SERVER_TYPES = {number: type_ for type_, number in SERVER_TYPES.items()}


def identity_of(
    number: EndpointService.ClientIdentity.ValueType, field: str = "endpoint_service.client_identity"
) -> ClientIdentity:
    """What is not said is NONE, as in services of before it could be."""
    if number and number not in _IDENTITIES:
        raise Invalid("CLIENT_IDENTITY_UNKNOWN", "no such client identity", field=field)
    return _IDENTITIES.get(number, ClientIdentity.NONE)


def service_type_of(number: EndpointService.ServiceType.ValueType) -> ServiceType:
    if number and number not in _SERVICE_TYPES:
        raise Invalid("SERVICE_TYPE_UNKNOWN", "no such service type", field="endpoint_service.service_type")
    return _SERVICE_TYPES.get(number, ServiceType.INTERFACE)


def server_type_of(number: EndpointService.ServerType.ValueType) -> ServerType:
    if number and number not in _SERVER_TYPES:
        raise Invalid("SERVER_TYPE_UNKNOWN", "no such server type", field="endpoint_service.server_type")
    return _SERVER_TYPES.get(number, ServerType.VM)


def ip_version_of(number: EndpointService.IpVersion.ValueType) -> int:
    """4 or 6; 0 where nothing is said."""
    return {named: version for version, named in IP_VERSIONS.items()}.get(number, 0)


def parse_tags(messages: Iterable[TagMessage], field: str = "endpoint_service.tags") -> tuple[Tag, ...]:
    """The tags that a caller gives."""
    return tags_of(((each.key, each.value) for each in messages), field)


def tag_of(message: TagMessage) -> Tag:
    return Tag(message.key, message.value)


def tag_message(tag: Tag) -> TagMessage:
    return TagMessage(key=tag.key, value=tag.value)


def parse_rules(message: RulesMessage) -> ApprovalRules:
    """The rules that a caller gives."""
    tags = tags_of(
        ((each.key, each.value) for each in message.accept_tags), "endpoint_service.approval_rules.accept_tags"
    )
    return ApprovalRules(tuple(message.accept_accounts), tags, message.pending_seconds, message.accepted_seconds)


def rules_of(message: RulesMessage) -> ApprovalRules:
    """Rules as they were stored."""
    tags = tuple(map(tag_of, message.accept_tags))
    return ApprovalRules(tuple(message.accept_accounts), tags, message.pending_seconds, message.accepted_seconds)


def rules_message(rules: ApprovalRules) -> RulesMessage | None:
    """None where there are none."""
    if rules == ApprovalRules():
        return None
    return RulesMessage(
        accept_accounts=rules.accept_accounts,
        accept_tags=map(tag_message, rules.accept_tags),
        pending_seconds=rules.pending_seconds,
        accepted_seconds=rules.accepted_seconds,
    )


def limits_of(message: LimitsMessage) -> ConsumerLimits:
    return ConsumerLimits(
        message.endpoints_per_account,
        message.connections,
        message.new_connections_per_second,
        message.bits_per_second,
    )


def limits_message(limits: ConsumerLimits) -> LimitsMessage | None:
    """None where there are none."""
    if limits == ConsumerLimits():
        return None
    return LimitsMessage(
        endpoints_per_account=limits.endpoints_per_account,
        connections=limits.connections,
        new_connections_per_second=limits.new_connections_per_second,
        bits_per_second=limits.bits_per_second,
    )


def parse_health_check(holder: EndpointService) -> HealthCheck | Unchecked:
    """The check that a caller asks for. Raises Invalid for one by TCP that asks for what only HTTP has."""
    asked = stored_health_check(holder)
    if isinstance(asked, HealthCheck) and asked.protocol is HealthProtocol.TCP:
        for name in ("path", "first_status", "last_status"):
            if getattr(holder.health_check, name):
                text = f"a check by TCP has no {name}: leave it out, or make the protocol HTTP"
                raise Invalid("HEALTH_CHECK_NOT_HTTP", text, field=f"{HEALTH_CHECK}.{name}")
    return asked


def stored_health_check(holder: EndpointService | ServiceHealthCheck) -> HealthCheck | Unchecked:
    """The check of a service, or of a change of it."""
    return health_check_of(holder.health_check) if holder.HasField("health_check") else UNCHECKED


def health_message(check: HealthCheck | Unchecked) -> HealthCheckMessage | None:
    """None where backends are not asked."""
    return None if isinstance(check, Unchecked) else health_check_message(check)
