"""Values of the contract as people read them."""

from datetime import datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.endpoint.v1.endpoint_pb2 import Condition
from sidegate.api.events.v1.forwarding_pb2 import (
    AttachmentForwarding,
    BackendForwarding,
    ResolverForwarding,
    RouteForwarding,
    ServiceForwarding,
)
from sidegate.api.registry.v1.endpoint_service_pb2 import (
    ApprovalRules,
    Backend,
    ConsumerLimits,
    EndedPermission,
    EndpointService,
    HealthCheck,
    Permission,
    PortMapping,
    PrivateName,
    SessionSettings,
)
from sidegate.api.registry.v1.tag_pb2 import Tag
from sidegate.api.registry.v1.vpc_pb2 import (
    Attachment,
    DefaultAttachment,
    InterfaceTarget,
    NetnsPattern,
    NetnsTarget,
    Resolver,
    VxlanRange,
    VxlanTarget,
)
from sidegate.cli import asks, facts, identities
from sidegate.cli.outcome import printable

GOOD, WAITING, BAD = "green", "yellow", "red"
STYLES = {
    "accepted": GOOD,
    "available": GOOD,
    "serving": GOOD,
    "connected": GOOD,
    "away": BAD,
    "silent": BAD,
    "not serving": BAD,
    "pendingAcceptance": WAITING,
    "creating": WAITING,
    "closing": WAITING,
    "deleting": WAITING,
    "rejected": BAD,
    "failed": BAD,
    "passed": GOOD,
    "notTried": WAITING,
    "open": GOOD,
    "refused": BAD,
    "notReached": WAITING,
    "well": GOOD,
    "unknown": WAITING,
    "unhealthy": BAD,
    "unresolved": BAD,
}

VXLAN_PORT = 4789
NANOSECONDS = 1_000_000_000


def field(message: Message, name: str) -> str:
    """A field of the message, in words; empty where it is not set."""
    value, descriptor = getattr(message, name), message.DESCRIPTOR.fields_by_name[name]
    if name == "draining_until":  # the one moment that is no Timestamp, for gateways to compare
        return moment(value) if value else ""
    if descriptor.enum_type:
        return facts.word(descriptor.enum_type, value)
    if descriptor.message_type and not descriptor.is_repeated and not message.HasField(name):
        return asks.sessions(asks.USUAL) if isinstance(message, EndpointService) and name == "session_settings" else ""
    if descriptor.message_type and descriptor.message_type.GetOptions().map_entry:
        return ", ".join(f"{key}={value[key]}" for key in sorted(value))
    return ", ".join(map(of, value)) if descriptor.is_repeated else of(value)


def of(value: object) -> str:  # noqa: PLR0912 # a case for each kind of value
    """One value in words."""
    match value:
        case Timestamp():
            return moment(value.ToNanoseconds())
        case PortMapping():
            return port_mapping(value)
        case RouteForwarding():
            return printable(route(value))
        case Backend(port_id=port) if port:
            return backend(f"port {port}", value.weight, value.draining)
        case Backend(address=address) | BackendForwarding(address=address):
            return backend(address, value.weight, value.draining)
        case Permission(permission=named, description=words):
            return printable(f"{named} ({words})" if words else named)
        case ConsumerLimits():
            return asks.limits(value)
        case SessionSettings():
            return asks.sessions(value)
        case HealthCheck():
            return printable(asks.health(value))
        case ApprovalRules():
            return printable(rules(value))
        case EndedPermission():
            return printable(f"{value.permission} before {moment(value.time.ToNanoseconds())}")
        case Resolver():
            return printable(vpc_resolver(value))
        case PrivateName():
            return printable(private_name(value))
        case Tag():
            return printable(f"{value.key}={value.value}")
        case NetnsTarget() | VxlanTarget() | InterfaceTarget() | NetnsPattern() | VxlanRange():
            return printable(target(value))
        case Condition(status=True):
            return "yes"
        case Condition(reason=reason):
            return printable(f"no: {reason}" if reason else "no")
        case bool():
            return "yes" if value else "no"
        case _:
            return printable(str(value))


def vpc_resolver(value: Resolver) -> str:
    """Where it is, and what becomes of names that are not Sidegate's."""
    others = f"from {', '.join(value.forwarders)}" if value.forwarders else "are refused"
    return f"{value.address}; other names {others}"


def private_name(value: PrivateName) -> str:
    """Whether it is verified, and what is to be done where it is not."""
    if value.state == PrivateName.STATE_VERIFIED:
        return f"{value.name} (verified)"
    record = f'{value.record_name} TXT "{value.record_value}"'
    return f"{value.name} (not verified: publish {record}, then `sidegate service verify-name`)"


def target(value: NetnsTarget | VxlanTarget | InterfaceTarget | NetnsPattern | VxlanRange) -> str:
    """What an attachment reaches: shop/sidegate0; VXLAN 100 to 192.0.2.10, 192.0.2.11; eth1; VXLAN 100-199 to ..."""
    match value:
        case NetnsTarget(namespace=namespace, device=device) | NetnsPattern(namespace=namespace, device=device):
            return f"{namespace}/{device}" if device else namespace
        case VxlanTarget(vni=vni):
            return vxlan(str(vni), value)
        case VxlanRange(first_vni=first, last_vni=last):
            return vxlan(f"{first}-{last}", value)
        case InterfaceTarget():
            return f"addr:{value.address}" if value.address else value.name or value.mac


def vxlan(numbers: str, value: VxlanTarget | VxlanRange) -> str:
    port = f" port {value.port}" if value.port not in (0, VXLAN_PORT) else ""
    own = f" from {value.local}" if value.local else ""
    return f"VXLAN {numbers}{port}{own} to {', '.join(value.remotes)}"


def target_of(attachment: Attachment | AttachmentForwarding | DefaultAttachment) -> str:
    """The same of an attachment; empty where it has none."""
    if attachment.HasField("netns"):
        return of(attachment.netns)
    if attachment.HasField("vxlan"):
        return of(attachment.vxlan)
    if isinstance(attachment, DefaultAttachment):
        return ""
    if isinstance(attachment, AttachmentForwarding) and attachment.HasField("annex"):
        return printable(f"annex of VPC {attachment.annex.vpc_id}")
    return of(attachment.interface) if attachment.HasField("interface") else ""


def asked(service: ServiceForwarding) -> str:
    """What a service asks of gateways; empty where that is the usual."""
    return printable(asks.all_of(service))


def rules(value: ApprovalRules) -> str:
    """What is decided without the owner."""
    known = [*value.accept_accounts, *(f"{tag.key}={tag.value}" for tag in value.accept_tags)]
    said = [f"accept {', '.join(known)}"] if known else []
    said += [f"requests wait {value.pending_seconds} s"] if value.pending_seconds else []
    said += [f"accepted for {value.accepted_seconds} s"] if value.accepted_seconds else []
    return "; ".join(said)


def moment(nanoseconds: int) -> str:
    """A moment in local time, to the second."""
    return datetime.fromtimestamp(nanoseconds // NANOSECONDS).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def backend(target: str, weight: int, draining: bool) -> str:
    """As it is given on the command line: 10.0.0.10=3/draining. A weight of 1 is not said."""
    return printable(f"{target}{f'={weight}' if weight > 1 else ''}{'/draining' if draining else ''}")


def port_mapping(mapping: PortMapping) -> str:
    """As it is given on the command line: 80:8080/tcp+toa; without the server port where that is not shown."""
    protocol = "udp" if mapping.protocol == PortMapping.PROTOCOL_UDP else "tcp"
    server = f":{mapping.server_port}" if mapping.server_port else ""
    identity = f"+{identities.WORDS[mapping.client_identity]}" if mapping.client_identity in identities.WORDS else ""
    return f"{mapping.client_port}{server}/{protocol}{identity}"


def resolver(entry: ResolverForwarding) -> str:
    """What a gateway answers for: "10.0.0.53 for local.sidegate.internal, others from 9.9.9.9:53"."""
    others = f"from {' '.join(entry.forwarders)}" if entry.forwarders else "refused"
    return printable(f"{entry.address} for {entry.zone}, others {others}")


def route(route: RouteForwarding) -> str:
    """Of a gateway-type endpoint: 100.125.0.0/16, not 100.125.8.0/21, 100.126.0.0/24 by 80/tcp and 53/udp"""
    if route.denied:
        return f"not {route.prefix}"
    ports = (PortMapping(client_port=port.client_port, protocol=port.protocol) for port in route.ports)
    by = " and ".join(map(port_mapping, ports))
    return f"{route.prefix} by {by}" if by else route.prefix
