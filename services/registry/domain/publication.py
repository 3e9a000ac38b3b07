"""What an endpoint service publishes: where connections end, on which ports, and who may connect."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from services.common.addressing import Address, Network, family
from services.common.errors import Forbidden, Invalid
from services.common.labels import Tag
from services.common.principal import Principal
from services.common.service_settings import USUAL, HealthCheck, SessionSettings
from services.registry.domain.private_name import FIELD as NAME_FIELD
from services.registry.domain.private_name import UNNAMED, PrivateName, Unnamed

MAX_BACKENDS, MAX_PORT_MAPPINGS, MAX_PERMISSIONS = 64, 200, 200
HIGHEST_WEIGHT = 100
HIGHEST_PORT = 65_535
FULL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+){1,2}")
UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
EVERYBODY, ALSO_EVERYBODY = "iam:domain::*", "*"
SERVER_TYPE = "endpoint_service.server_type"
HEALTH_CHECK = "endpoint_service.health_check"


class Protocol(Enum):
    TCP = "tcp"
    UDP = "udp"


class ClientIdentity(Enum):
    """What backends are to learn of a client beside the source address; see the contract."""

    NONE = "none"
    TOA = "toa"
    PROXY_PROTOCOL = "proxy_protocol"
    TOA_AND_PROXY_PROTOCOL = "toa_and_proxy_protocol"
    PROXY_PROTOCOL_WITH_MARKER = "proxy_protocol_with_marker"


class ServiceType(Enum):
    """How endpoints are reached: by an address, or by a route."""

    INTERFACE = "interface"
    GATEWAY = "gateway"


class ServerType(Enum):
    """What the backends are."""

    VM = "vm"
    LB = "lb"
    VIP = "vip"
    CLOUD = "cloud"


@dataclass(frozen=True, slots=True)
class Backend:
    """Where connections end: new ones in proportion to its weight (1 to 100), and none while it is draining.

    `port_id` is the port that the address was taken of, if it was.
    """

    address: Address
    weight: int = 1
    draining: bool = False
    port_id: str = ""


@dataclass(frozen=True, slots=True)
class PortMapping:
    """Connections to `client_port` of an endpoint go to `server_port` of a backend.

    Where it says nothing of clients, `client_identity` is None: what the service says holds.
    """

    client_port: int
    server_port: int
    protocol: Protocol
    client_identity: ClientIdentity | None = None


@dataclass(frozen=True, slots=True)
class ApprovalRules:
    """What is decided without the owner, where he decides on each connection. Durations in seconds; 0 is for ever."""

    accept_accounts: tuple[str, ...] = ()
    accept_tags: tuple[Tag, ...] = ()
    pending_seconds: int = 0
    accepted_seconds: int = 0


NO_RULES = ApprovalRules()


@dataclass(frozen=True, slots=True)
class ConsumerLimits:
    """What each consumer may take; 0 is no limit."""

    endpoints_per_account: int = 0
    connections: int = 0
    new_connections_per_second: int = 0
    bits_per_second: int = 0


NO_LIMITS = ConsumerLimits()


@dataclass(frozen=True, slots=True)
class Unchecked:
    """Backends are not asked whether they are well."""


UNCHECKED = Unchecked()


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission, the owner's words for it, and when it was added (ns since the epoch)."""

    permission: str
    description: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """A permission that was removed together with the connections that it had let in: when, and by which revision."""

    permission: str
    at: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """An endpoint service. `revision` counts its events; times are nanoseconds since the epoch."""

    id: str
    owner: Principal
    name: str
    full_name: str
    vpc_id: str
    backends: tuple[Backend, ...]
    port_mappings: tuple[PortMapping, ...]
    approval_required: bool
    created_at: int
    updated_at: int
    grants: tuple[Grant, ...] = ()
    revision: int = 1
    description: str = ""
    tags: tuple[Tag, ...] = ()
    client_identity: ClientIdentity = ClientIdentity.NONE
    service_type: ServiceType = ServiceType.INTERFACE
    server_type: ServerType = ServerType.VM
    ended: tuple[Ended, ...] = ()
    approval_rules: ApprovalRules = NO_RULES
    consumer_limits: ConsumerLimits = NO_LIMITS
    policy_enabled: bool = False
    session_settings: SessionSettings = USUAL
    health_check: HealthCheck | Unchecked = UNCHECKED
    private_name: PrivateName | Unnamed = UNNAMED
    public_prefixes: tuple[Network, ...] = ()

    @property
    def ip_version(self) -> int:
        """4 or 6: of its backends, of its endpoints and of their subnets; never changes."""
        return self.backends[0].address.version

    @property
    def permissions(self) -> tuple[str, ...]:
        return tuple(grant.permission for grant in self.grants)


def full_name(region: str, name: str, service_id: str) -> str:
    """What a provider tells its consumers."""
    return ".".join(filter(None, (region, name, service_id)))


def region_of(name: str) -> str:
    """The region that a full name says; empty where it is none."""
    first, *rest = name.split(".")
    return first if FULL_NAME.fullmatch(name) and UUID_FORM.fullmatch(rest[-1]) else ""


def renamed(service: Service, name: str) -> Service:
    """The service under another name, in the same region."""
    region = service.full_name.partition(".")[0]
    return replace(service, name=name, full_name=full_name(region, name, service.id))


def keeping_ports(backends: Sequence[Backend], known: Sequence[Backend]) -> tuple[Backend, ...]:
    """Backends that are given by an address of a known one's are that one's port still."""
    ports = {backend.address: backend.port_id for backend in known}
    return tuple(replace(each, port_id=each.port_id or ports.get(each.address, "")) for each in backends)


def may_connect(service: Service, account: str) -> bool:
    """Whether the account may know of the service: its own does, and those with a permission."""
    return account == service.owner.account or not {permission(account), EVERYBODY, ALSO_EVERYBODY}.isdisjoint(
        service.permissions
    )


def permission(account: str) -> str:
    return f"iam:domain::{account}"


def check_types(service: Service) -> None:
    """Refuses services that are reached by routes, and platform services, of others than the operator; and prefixes of
    services that are reached by addresses.
    """
    gateway = service.service_type is ServiceType.GATEWAY
    if gateway and not service.owner.is_operator:
        text = "only the operator publishes services that are reached by routes: publish one of type interface"
        raise Forbidden("OPERATOR_ONLY", text, field="endpoint_service.service_type")
    if service.public_prefixes and not gateway:
        text = (
            "a service of type interface is reached by addresses: leave the public prefixes out, or make it a gateway"
        )
        raise Invalid("PREFIXES_OF_INTERFACE", text, field="endpoint_service.public_prefixes")
    if service.server_type is ServerType.CLOUD and not service.owner.is_operator:
        raise Forbidden("OPERATOR_ONLY", "only the operator publishes platform services", field=SERVER_TYPE)


def check_named(service: Service) -> None:
    """Refuses a private name where it would never be answered."""
    if service.service_type is ServiceType.GATEWAY and isinstance(service.private_name, PrivateName):
        text = "a service that is reached by routes has its ordinary addresses, and names elsewhere: leave it out"
        raise Invalid("DNS_NAME_INVALID", text, field=NAME_FIELD)


def first_permissions(server_type: ServerType) -> tuple[str, ...]:
    """Who may connect to a new service: to one of the platform everybody."""
    return (EVERYBODY,) if server_type is ServerType.CLOUD else ()


def check_ip_version(backends: Sequence[Backend], version: int) -> None:
    """Refuses backends of another IP version than the service has, or is to have; 0 is any."""
    found = backends[0].address.version
    if version and found != version:
        text = f"the service is {family(version)} and the backend {backends[0].address} {family(found)}"
        way_out = "nothing translates between them: publish a service for each"
        raise Invalid("IP_VERSION_MISMATCH", f"{text}: {way_out}", field="endpoint_service.backends")


def check_backends(backends: Sequence[Backend], network: Sequence[Network]) -> None:
    """Refuses backends outside the VPC's ranges, weights outside theirs, one backend twice, none and too many, and
    backends of both IP versions.
    """
    _check_count(backends, MAX_BACKENDS, "endpoint_service.backends")
    seen = set[Address]()
    for index, backend in enumerate(backends):
        address, field = backend.address, f"endpoint_service.backends[{index}]"
        if address.version != backends[0].address.version:
            text = (
                f"{address} is {family(address.version)} and {backends[0].address} is not: publish a service for each"
            )
            raise Invalid("BACKENDS_MIXED", text, field=f"{field}.address")
        if not any(address in cidr for cidr in network):
            ranges = ", ".join(map(str, network))
            text = f"{address} is not in the VPC's {ranges}"
            raise Invalid("BACKEND_OUTSIDE_VPC", text, field=f"{field}.address")
        if not 1 <= backend.weight <= HIGHEST_WEIGHT:
            text = f"{backend.weight} is not a weight: 1 to {HIGHEST_WEIGHT}"
            raise Invalid("WEIGHT_OUT_OF_RANGE", text, field=f"{field}.weight")
        if address in seen:
            raise Invalid("BACKEND_REPEATED", f"{address} is a backend already", field=field)
        seen.add(address)


def check_port_mappings(port_mappings: Sequence[PortMapping]) -> None:
    """Refuses ports that are none, a client port twice for one protocol, no mapping and too many, and an identity of
    clients where there is none to be had.
    """
    _check_count(port_mappings, MAX_PORT_MAPPINGS, "endpoint_service.port_mappings")
    seen = set[tuple[int, Protocol]]()
    for index, mapping in enumerate(port_mappings):
        field = f"endpoint_service.port_mappings[{index}]"
        for name, port in (("client_port", mapping.client_port), ("server_port", mapping.server_port)):
            if not 1 <= port <= HIGHEST_PORT:
                raise Invalid(
                    "PORT_OUT_OF_RANGE", f"{port} is not a port: 1 to {HIGHEST_PORT}", field=f"{field}.{name}"
                )
        key = (mapping.client_port, mapping.protocol)
        if key in seen:
            text = f"client port {mapping.client_port}/{mapping.protocol.value} is published already"
            raise Invalid("CLIENT_PORT_REPEATED", text, field=f"{field}.client_port")
        seen.add(key)
        _check_identity(mapping, f"{field}.client_identity")


def _check_identity(mapping: PortMapping, field: str) -> None:
    if mapping.protocol is Protocol.TCP or mapping.client_identity in (None, ClientIdentity.NONE):
        return
    text = (
        f"clients of {mapping.client_port}/{mapping.protocol.value} cannot be told of: TCP options and PROXY protocol "
        "headers are for TCP; publish the port with NONE"
    )
    raise Invalid("CLIENT_IDENTITY_TCP_ONLY", text, field=field)


def check_health_check(check: HealthCheck | Unchecked, port_mappings: Sequence[PortMapping]) -> None:
    """Refuses one that waits longer than until the next, one that no status answers, and one without a port to ask."""
    if isinstance(check, Unchecked):
        return
    first, last = check.statuses
    if check.timeout > check.interval:
        text = f"{check.timeout} s are longer than the interval, {check.interval} s: wait shorter, or ask less often"
        raise Invalid("HEALTH_TIMEOUT_TOO_LONG", text, field=f"{HEALTH_CHECK}.timeout_seconds")
    if first > last:
        text = f"the last status, {last}, is below the first, {first}: give both, such as 200 and 299"
        raise Invalid("HEALTH_STATUSES_REVERSED", text, field=f"{HEALTH_CHECK}.last_status")
    if not check.port and all(mapping.protocol is not Protocol.TCP for mapping in port_mappings):
        text = "the service publishes no TCP port that could be asked: name the backends' port, or leave the check away"
        raise Invalid("HEALTH_PORT_MISSING", text, field=f"{HEALTH_CHECK}.port")


def _check_count(items: Sequence[object], most: int, field: str) -> None:
    if not 1 <= len(items) <= most:
        raise Invalid("WRONG_COUNT", f"{field} needs 1 to {most} items, not {len(items)}", field=field)
