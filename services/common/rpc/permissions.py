"""Who may call what: one table, for every method of every service. A method that is not in it is nobody's."""

from collections.abc import Mapping
from types import MappingProxyType

from services.common.errors import NotFound
from services.common.principal import Identity, Role

OPERATOR = frozenset({Role.OPERATOR})
ADMINS = frozenset({Role.OPERATOR, Role.ADMIN})
"""Those who may change what a project owns. Which project's it is, the use cases ask."""

READERS = ADMINS | {Role.VIEWER}
AUDITORS = frozenset({Role.OPERATOR, Role.REGISTRY, Role.ENDPOINT})
"""The operator, and the two services, which follow each other's logs."""

GATEWAY = frozenset({Role.GATEWAY})
ENDPOINT = frozenset({Role.ENDPOINT})
REGISTRY = frozenset({Role.REGISTRY})
MACHINE = frozenset({Role.MACHINE})

_SERVICES: Mapping[str, Mapping[str, frozenset[Role]]] = {
    "registry.v1.RegistryService": {
        **dict.fromkeys(("CreateVpc", "DeleteVpc", "CreateSubnet", "DeleteSubnet", "CreatePort", "DeletePort"), ADMINS),
        **dict.fromkeys(("UpdateVpc", "UpdateSubnet"), ADMINS),
        **dict.fromkeys(("GetVpc", "ListVpcs", "GetSubnet", "ListSubnets", "GetPort", "ListPorts"), READERS),
        **dict.fromkeys(("CreateRouteTable", "UpdateRouteTable", "DeleteRouteTable"), ADMINS),
        **dict.fromkeys(("GetRouteTable", "ListRouteTables"), READERS),
        **dict.fromkeys(("CreateAttachment", "GetAttachment", "ListAttachments", "DeleteAttachment"), OPERATOR),
        **dict.fromkeys(("SetDefaultAttachment", "ListDefaultAttachments", "DeleteDefaultAttachment"), OPERATOR),
        **dict.fromkeys(("CreateEndpointService", "UpdateEndpointService", "DeleteEndpointService"), ADMINS),
        **dict.fromkeys(("AddPermissions", "RemovePermissions"), ADMINS),
        **dict.fromkeys(("SetResolver", "DeleteResolver", "VerifyPrivateName"), ADMINS),
        **dict.fromkeys(("GetEndpointService", "ListEndpointServices", "LookupEndpointService", "Watch"), READERS),
        **dict.fromkeys(("ListPlatformServices", "ListEndpointServiceTags", "GetServiceQuota"), READERS),
    },
    "registry.v1.AccountsService": {
        **dict.fromkeys(("CreateAccount", "GetAccount", "ListAccounts", "CreateProject"), OPERATOR),
        **dict.fromkeys(("CreateAccessKey", "ListAccessKeys", "RotateAccessKey", "RevokeAccessKey"), OPERATOR),
    },
    "registry.v1.CredentialsService": {
        **dict.fromkeys(("CreateEventsCredential", "RevokeEventsCredential"), ADMINS),
        "ListEventsCredentials": READERS,
    },
    "registry.v1.TokenService": {"GetIdentity": READERS},
    "registry.v1.RegistryInternalService": {
        **dict.fromkeys(("ReserveEndpointPort", "ReleaseEndpointPort", "HoldRouteTables"), ENDPOINT),
        **dict.fromkeys(("GetForwardingSources", "GetTokenTrust"), ENDPOINT),
        **dict.fromkeys(("VerifySignature", "VerifyToken"), frozenset({Role.HTTP_API})),
    },
    "endpoint.v1.EndpointsService": {
        **dict.fromkeys(("CreateEndpoint", "UpdateEndpoint", "DeleteEndpoint"), ADMINS),
        **dict.fromkeys(("GetEndpoint", "ListEndpoints", "WatchEndpoints", "TestEndpoint"), READERS),
        **dict.fromkeys(("ListEndpointTags", "GetEndpointQuota", "GetEndpointTraffic"), READERS),
    },
    "endpoint.v1.ConnectionsService": {
        **dict.fromkeys(("AcceptConnection", "RejectConnection", "DecideConnections", "NoteConnection"), ADMINS),
        **dict.fromkeys(("GetConnection", "ListConnections", "ListConnectionCounts"), READERS),
        **dict.fromkeys(("WatchConnections", "TestConnection", "GetServiceHealth"), READERS),
        "GetServiceTraffic": READERS,
    },
    "endpoint.v1.TrafficService": {"ListTraffic": READERS},
    "endpoint.v1.GatewaysService": {"ListGateways": OPERATOR},
    "endpoint.v1.TraceService": {"TracePacket": OPERATOR, "TraceEndpoint": READERS},
    "endpoint.v1.EndpointInternalService": dict.fromkeys(("CheckEndpoints", "ListBlockers"), REGISTRY),
    "gateway.v1.GatewayService": {
        **dict.fromkeys(("Join", "Snapshot", "Events", "Digest", "Probes", "AnswerProbe"), GATEWAY),
        **dict.fromkeys(("ReportState", "ReportFlows", "ReportTraffic"), GATEWAY),
    },
    "gateway.v1.TableService": dict.fromkeys(("GetTable", "GetStatus", "GetTraffic"), MACHINE),
    "gateway.v1.TapService": dict.fromkeys(("FollowFlows", "Capture"), MACHINE),
    "events.v1.HistoryService": dict.fromkeys(("ReadState", "ListDeeds"), READERS),
    "status.v1.StatusService": {"GetStatus": OPERATOR | MACHINE},
    "events.v1.AuditService": {
        **dict.fromkeys(("GetHead", "ListRecords", "ReadLog", "FollowLog"), AUDITORS),
        "ListRefusals": OPERATOR,
    },
}

ALLOWED: Mapping[str, frozenset[Role]] = MappingProxyType(
    {
        f"/sidegate.api.{service}/{name}": roles
        for service, methods in _SERVICES.items()
        for name, roles in methods.items()
    }
)
"""The roles that may call a method, by its path."""

OPEN = frozenset({"/sidegate.api.registry.v1.TokenService/IssueToken"})
"""What anybody may call: it is how one proves to be somebody."""

KINDS = {
    "EndpointService": "service",
    "Permissions": "service",
    "AccessKey": "key",
    "EventsCredential": "credential",
    "Packet": "endpoint",
    "Resolver": "vpc",
    "PrivateName": "service",
    "RouteTable": "route_table",
    "EndpointTraffic": "endpoint",
    "ServiceTraffic": "service",
}
VERBS = (
    "Create",
    "Get",
    "List",
    "Delete",
    "Update",
    "Accept",
    "Reject",
    "Decide",
    "Note",
    "Rotate",
    "Revoke",
    "Add",
    "Remove",
    "Lookup",
    "Test",
    "Trace",
    "Set",
    "Verify",
)


class NotAllowed(NotFound):
    """The caller hears that the thing is not there; `why` is for the access log."""

    why = "NOT_ALLOWED"


def require(identity: Identity, method: str, request: object) -> None:
    """Raises NotAllowed: in the words for a thing that is not there, where the request names one."""
    if identity.role not in ALLOWED.get(method, frozenset()):
        name = method.rpartition("/")[2]
        id_ = resource_of(request)
        raise NotAllowed(_kind(name), id_) if id_ else NotAllowed("method", name)
    if identity.role is Role.GATEWAY:
        _require_itself(identity, request)


def resource_of(request: object) -> str:
    """The id of what a request is about; empty where it names none."""
    for field in ("id", "endpoint_id", "service_id", "vpc_id", "service", "name", "account"):
        value = getattr(request, field, "")
        if isinstance(value, str) and value:
            return value
    return ""


def _kind(method: str) -> str:
    noun = next((method.removeprefix(verb) for verb in VERBS if method.startswith(verb)), method)
    return KINDS.get(noun, noun.lower())


def _require_itself(identity: Identity, request: object) -> None:
    """A gateway speaks for itself and asks for its own cell."""
    gateway, cell = getattr(request, "gateway_id", None), getattr(request, "cell", None)
    if gateway not in (None, "", identity.principal.project):
        raise NotAllowed("gateway", str(gateway))
    if cell not in (None, identity.cell):
        raise NotAllowed("cell", str(cell))
