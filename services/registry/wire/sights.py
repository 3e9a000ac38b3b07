"""What there is to see of the registry's events, field by field, and for whom."""

from collections.abc import Mapping, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from services.common.etags import stamped
from services.common.eventsourcing.store import RecordedEvent
from services.common.watching.allowed import Allowed
from services.common.watching.sight import OPERATORS, Sight
from services.registry.wire.services import shown
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent
from sidegate.api.registry.v1 import watch_pb2

WORDS: Mapping[str, str] = {
    "vpc_created": "created",
    "vpc_deleted": "deleted",
    "vpc_changed": "changed",
    "subnet_created": "created",
    "subnet_changed": "changed",
    "subnet_deleted": "deleted",
    "port_reserved": "reserved",
    "port_released": "released",
    "attachment_created": "created",
    "attachment_deleted": "deleted",
    "service_created": "created",
    "service_opened": "opened",
    "service_changed": "changed",
    "permissions_added": "permissions_added",
    "permissions_removed": "permissions_removed",
    "service_closed": "closed",
    "service_reopened": "reopened",
    "service_deletion_started": "deletion_started",
    "service_deleted": "deleted",
    "service_failed": "failed",
    "resolver_set": "resolver_set",
    "resolver_deleted": "resolver_deleted",
    "private_name_verified": "private_name_verified",
    "route_table_created": "created",
    "route_table_changed": "changed",
    "route_table_deleted": "deleted",
}
"""What happened, in a word, for each fact. A fact without one is not told."""

UNTOLD = frozenset(
    {
        *("account_created", "project_created", "access_key_created", "access_key_rotated", "access_key_revoked"),
        *("events_credential_created", "events_credential_revoked"),
        *("default_attachment_set", "default_attachment_deleted"),
        *("routes_reserved", "routes_released"),
    }
)
"""Facts that nobody watches: who may call, and how cells reach new VPCs, is read in the audit log; which endpoints have
their routes in a VPC is told of the endpoints."""

GONE = frozenset({"deleted", "released"})
SEEN_BY_OPERATORS = frozenset({"vpc", "attachment"})
SEEN_BY_OWNERS = frozenset({"vpc", "subnet", "port", "service", "route_table"})

_API = "sidegate.api.registry.v1"
ALLOWED = Allowed(
    {
        f"{_API}.Vpc": (
            *("id", "project", "account", "name", "cidrs", "create_time", "etag", "description", "tags"),
            "resolver",
        ),
        f"{_API}.Resolver": ("subnet_id", "address", "port_id", "forwarders", "create_time"),
        f"{_API}.Subnet": (
            *("id", "vpc_id", "project", "account", "name", "cidr", "gateway_address", "create_time"),
            *("description", "tags", "dns_servers", "dhcp_enabled", "availability_zone", "etag"),
        ),
        f"{_API}.RouteTable": (
            *("id", "vpc_id", "project", "account", "name", "by_default", "subnet_ids", "create_time", "etag"),
            "description",
        ),
        f"{_API}.Port": ("id", "subnet_id", "vpc_id", "project", "account", "address", "holder", "create_time"),
        f"{_API}.Attachment": ("id", "vpc_id", "cell", "netns", "vxlan", "interface", "create_time", "by_default"),
        f"{_API}.NetnsTarget": ("namespace", "device"),
        f"{_API}.VxlanTarget": ("vni", "remotes", "port", "local", "mtu"),
        f"{_API}.InterfaceTarget": ("name", "mac", "address"),
        f"{_API}.EndpointService": (
            *("id", "project", "account", "name", "full_name", "vpc_id", "backends", "port_mappings"),
            *("approval_required", "permissions", "state", "failure", "create_time", "update_time", "etag", "version"),
            *("description", "tags", "client_identity", "service_type", "server_type"),
            *("permission_details", "ended_permissions", "approval_rules", "consumer_limits", "policy_enabled"),
            *("session_settings", "health_check", "ip_version"),
            *("private_name", "public_prefixes"),
        ),
        f"{_API}.PrivateName": ("name", "state", "record_name", "record_value", "verify_time"),
        f"{_API}.Permission": ("id", "permission", "type", "description", "create_time"),
        f"{_API}.EndedPermission": ("permission", "time", "version"),
        f"{_API}.ApprovalRules": ("accept_accounts", "accept_tags", "pending_seconds", "accepted_seconds"),
        f"{_API}.ConsumerLimits": (
            *("endpoints_per_account", "connections", "new_connections_per_second", "bits_per_second"),
        ),
        f"{_API}.SessionSettings": (
            *("tcp_established_seconds", "tcp_half_open_seconds", "tcp_closed_seconds"),
            *("udp_two_way_seconds", "udp_one_way_seconds", "affinity", "reset_expired"),
        ),
        f"{_API}.HealthCheck": (
            *("protocol", "port", "path", "first_status", "last_status"),
            *("interval_seconds", "timeout_seconds", "healthy_after", "unhealthy_after"),
        ),
        f"{_API}.Tag": ("key", "value"),
        f"{_API}.Backend": ("address", "port_id", "weight", "draining", "port"),
        f"{_API}.PortMapping": ("client_port", "server_port", "protocol", "client_identity"),
    }
)
"""Of each resource, what those who may Get it are told when it changes."""

WITHHELD: Mapping[str, Sequence[str]] = {}
"""What they are not told. A field is in one of the two: whoever adds one decides."""


def sights_of(event: RecordedEvent) -> Sequence[Sight[watch_pb2.ResourceChange]]:
    stored = RegistryEvent.FromString(event.data)
    word, kind = WORDS.get(stored.WhichOneof("fact") or ""), stored.WhichOneof("resource")
    if word is None or kind is None:
        return ()
    resource = getattr(stored, kind)
    if kind in ("subnet", "route_table"):
        stamped(resource)
    if kind == "service":
        shown(resource)
    time = Timestamp()
    time.FromNanoseconds(event.recorded_at)
    change = watch_pb2.ResourceChange(position=event.position, time=time, what=word, deleted=word in GONE)
    getattr(change, kind).CopyFrom(ALLOWED.show(resource))
    owner = {f"{resource.account}/{resource.project}"} if kind in SEEN_BY_OWNERS else set()
    operators = {OPERATORS} if kind in SEEN_BY_OPERATORS else set()
    return (Sight(frozenset(owner | operators), kind, resource.id, change),)
