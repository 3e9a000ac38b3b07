"""Endpoint services: from the API's words to ours and back. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.http_api.vpcep.models import ServiceError, Tag, TagBody, moment
from services.http_api.vpcep.service_models import (
    CreateServiceBody,
    Description,
    ListedService,
    Port,
    PortBody,
    PublicService,
    Service,
    UpdateServiceBody,
)
from sidegate.api.registry.v1.endpoint_service_pb2 import Backend, ConnectableService, EndpointService, PortMapping
from sidegate.api.registry.v1.tag_pb2 import Tag as TagMessage
from sidegate.project_ids import project_id

STATUSES: Mapping[EndpointService.State.ValueType, str] = {
    EndpointService.STATE_CREATING: "creating",
    EndpointService.STATE_AVAILABLE: "available",
    EndpointService.STATE_CLOSING: "available",
    EndpointService.STATE_DELETING: "deleting",
    EndpointService.STATE_DELETED: "deleting",
    EndpointService.STATE_FAILED: "failed",
}
"""A deletion that is only being tried may leave the service as it was."""


def states(status: str | None) -> Sequence[EndpointService.State.ValueType]:
    """Which states of ours have the status; none for any."""
    return [state for state, word in STATUSES.items() if word == status]


PROXIES: Mapping[str, EndpointService.ClientIdentity.ValueType] = {
    "close": EndpointService.CLIENT_IDENTITY_NONE,
    "toa_open": EndpointService.CLIENT_IDENTITY_TOA,
    "proxy_open": EndpointService.CLIENT_IDENTITY_PROXY_PROTOCOL,
    "open": EndpointService.CLIENT_IDENTITY_TOA_AND_PROXY_PROTOCOL,
    "proxy_vni": EndpointService.CLIENT_IDENTITY_PROXY_PROTOCOL_WITH_MARKER,
}
SERVERS: Mapping[str, EndpointService.ServerType.ValueType] = {
    "VM": EndpointService.SERVER_TYPE_VM,
    "LB": EndpointService.SERVER_TYPE_LB,
    "VIP": EndpointService.SERVER_TYPE_VIP,
    "CLOUD": EndpointService.SERVER_TYPE_CLOUD,
}
VERSIONS: Mapping[str, EndpointService.IpVersion.ValueType] = {
    "ipv4": EndpointService.IP_VERSION_IPV4,
    "ipv6": EndpointService.IP_VERSION_IPV6,
}
PROTOCOLS = {"TCP": PortMapping.PROTOCOL_TCP, "UDP": PortMapping.PROTOCOL_UDP}
SERVICE_TYPES: Mapping[EndpointService.ServiceType.ValueType, str] = {
    EndpointService.SERVICE_TYPE_INTERFACE: "interface",
    EndpointService.SERVICE_TYPE_GATEWAY: "gateway",
}
_PROXY_WORDS = {number: word for word, number in PROXIES.items()}
_SERVER_WORDS = {number: word for word, number in SERVERS.items()}
EDITIONS = ("basic", "profession")
FAILED = "EndPoint.3005"


def wanted(body: CreateServiceBody) -> EndpointService:
    return EndpointService(
        name=body.service_name or "",
        vpc_id=body.vpc_id.lower(),
        backends=[Backend(port_id=body.port_id.lower())],
        port_mappings=map(_mapping, body.ports),
        approval_required=body.approval_enabled is not False,
        description=body.description or "",
        tags=tag_messages(body.tags or ()),
        client_identity=PROXIES[body.tcp_proxy or "close"],
        server_type=SERVERS[body.server_type],
        policy_enabled=body.enable_policy or False,
        ip_version=VERSIONS.get(body.ip_version or "", EndpointService.IP_VERSION_UNSPECIFIED),
    )


def changed(body: UpdateServiceBody, known: EndpointService) -> tuple[EndpointService, list[str]]:
    """What is to be another, and by which names our contract calls it."""
    made, paths = EndpointService(id=known.id), list[str]()
    news: dict[str, Any] = {
        "name": body.service_name,
        "approval_required": body.approval_enabled,
        "description": body.description,
        "client_identity": None if body.tcp_proxy is None else PROXIES[body.tcp_proxy],
    }
    for path, value in news.items():
        if value is not None:
            setattr(made, path, value)
            paths.append(path)
    if body.ports is not None:
        made.port_mappings.extend(_knowing(_mapping(port), known.port_mappings) for port in body.ports)
        paths.append("port_mappings")
    if backend := _backend(body, known):
        made.backends.append(backend)
        paths.append("backends")
    return made, paths


def _backend(body: UpdateServiceBody, known: EndpointService) -> Backend | None:
    """The one backend that is to take the place of all; None where nothing is said, or what is so already."""
    if body.ip:
        return Backend(address=str(body.ip))
    if not body.port_id or body.port_id.lower() == port_of(known):
        return None
    return Backend(port_id=body.port_id.lower())


def _mapping(body: PortBody) -> PortMapping:
    return PortMapping(client_port=body.client_port, server_port=body.server_port, protocol=PROTOCOLS[body.protocol])


def _knowing(mapping: PortMapping, known: Iterable[PortMapping]) -> PortMapping:
    """A client port that stays keeps the client identity it has of its own, which callers here cannot name."""
    for each in known:
        if (each.client_port, each.protocol) == (mapping.client_port, mapping.protocol):
            mapping.client_identity = each.client_identity
    return mapping


def tag_messages(tags: Sequence[TagBody]) -> list[TagMessage]:
    return [TagMessage(key=each.key, value=each.value) for each in tags]


def tags(found: Sequence[TagMessage]) -> list[Tag]:
    return [Tag(key=each.key, value=each.value) for each in found]


def port_of(service: EndpointService) -> str:
    """The port of the first backend; empty where that is an address."""
    return service.backends[0].port if service.backends else ""


def shown(found: EndpointService) -> Service:
    return Service(**_facts(found))


def listed(found: EndpointService, connections: int) -> ListedService:
    return ListedService(**_facts(found), connection_count=connections)


def _facts(found: EndpointService) -> dict[str, Any]:
    port = port_of(found)
    return {
        "id": found.id,
        "port_id": port,
        "service_name": found.full_name,
        "server_type": _SERVER_WORDS.get(found.server_type, "VM"),
        "vpc_id": found.vpc_id,
        "approval_enabled": found.approval_required,
        "status": STATUSES[found.state],
        "service_type": SERVICE_TYPES.get(found.service_type, "interface"),
        "created_at": moment(found.create_time),
        "updated_at": moment(found.update_time),
        "project_id": project_id(found.account, found.project),
        "domain_id": found.account,
        "ip": "" if port or not found.backends else found.backends[0].address,
        "ports": [_port(each) for each in found.port_mappings],
        "tcp_proxy": _PROXY_WORDS.get(found.client_identity, "close"),
        "tags": tags(found.tags),
        "description": found.description,
        "enable_policy": found.policy_enabled,
        "ip_version": "ipv6" if found.ip_version == EndpointService.IP_VERSION_IPV6 else "ipv4",
        "error": _errors(found),
        "supported_editions": list(EDITIONS),
    }


def _port(mapping: PortMapping) -> Port:
    protocol = "UDP" if mapping.protocol == PortMapping.PROTOCOL_UDP else "TCP"
    return Port(client_port=mapping.client_port, server_port=mapping.server_port, protocol=protocol)


def _errors(found: EndpointService) -> list[ServiceError]:
    if found.state != EndpointService.STATE_FAILED:
        return []
    why = found.failure
    return [ServiceError(code=FAILED, message=why, error_code=FAILED, error_message=why)]


def public(found: ConnectableService, owner: str) -> PublicService:
    return PublicService(
        id=found.id,
        owner=owner,
        service_name=found.full_name,
        service_type=SERVICE_TYPES.get(found.service_type, "interface"),
        created_at=moment(found.create_time),
        enable_policy=found.policy_enabled,
    )


def described(found: ConnectableService) -> Description:
    return Description(
        id=found.id,
        service_name=found.full_name,
        service_type=SERVICE_TYPES.get(found.service_type, "interface"),
        created_at=moment(found.create_time),
        enable_policy=found.policy_enabled,
    )
