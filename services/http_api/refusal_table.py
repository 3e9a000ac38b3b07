"""The table: what each of our errors is among the API's codes. A test holds it complete."""

from collections.abc import Mapping
from enum import Enum

from services.http_api.error_codes import AWAY, CHANGED, THROTTLED, Code
from sidegate import errors


class By(Enum):
    """A reason that is another code for another field, kind of resource, or state."""

    FIELD = "field"
    KIND = "kind"
    STATE = "state"


KINDS: Mapping[type[errors.SidegateError], str | Code] = {
    errors.InvalidRequest: "0002",
    errors.NotFound: "0005",
    errors.AlreadyExists: "0002",
    errors.WrongState: "1004",
    errors.QuotaReached: "1018",
    errors.Outdated: CHANGED,
    errors.Forbidden: "0004",
    errors.Unauthenticated: "0003",
    errors.OutOfRange: "0002",
    errors.TimedOut: "0013",
    errors.Unavailable: AWAY,
    errors.Unexpected: "0001",
}
"""By kind, for reasons that are none of ours: gRPC's own."""

REASONS: Mapping[str, str | Code | By] = {
    "ACCOUNT_WRONG_STATE": "1004",
    "ADDRESS_INVALID": "2041",
    "ADDRESS_OUTSIDE_SUBNET": "2043",
    "ADDRESS_RESERVED": "2043",
    "ADDRESS_TAKEN": "2042",
    "ALREADY_TAKEN": "0002",
    "ATTACHMENT_WRONG_STATE": "1004",
    "BACKEND_MISSING": "3003",
    "BACKEND_OUTSIDE_VPC": "3042",
    "BACKEND_PORT_NOT_FOUND": "3008",
    "BACKEND_REPEATED": "3063",
    "CHANGED_MEANWHILE": CHANGED,
    "CIDR_INVALID": By.FIELD,
    "CIDR_IN_USE": "3009",
    "CIDR_NOT_UNICAST": "3009",
    "CIDR_OUTSIDE_VPC": "3009",
    "CIDR_OVERLAPS": "3009",
    "CIDR_RESERVED": "3009",
    "CLIENT_IDENTITY_UNKNOWN": "0002",
    "CLIENT_PORT_REPEATED": "3043",
    "COMPACTED": "0002",
    "CONSUMER_LIMIT": "1018",
    "CREDENTIAL_QUOTA": "1018",
    "CREDENTIAL_WRONG_STATE": "1004",
    "DESCRIPTION_INVALID": "0002",
    "DRAIN_INVALID": "0002",
    "ENDPOINT_EXISTS": "2014",
    "ENDPOINT_HAS_PORT": "2014",
    "ENDPOINT_QUOTA": "1018",
    "ENDPOINT_UNAVAILABLE": AWAY,
    "ETAG_INVALID": "0002",
    "ETAG_OF_NOTHING": "0002",
    "EXPIRE_TIME_INVALID": "0002",
    "EXPIRY_INVALID": "0002",
    "FIELD_INVALID": By.FIELD,
    "GATEWAY_RETIRED": "1004",
    "GONE_MEANWHILE": "1004",
    "HOLDER_RESERVED": "0002",
    "HOST_BITS_SET": "3009",
    "IPV6_NOT_SUPPORTED": "0002",
    "KEY_INVALID": "0002",
    "KEY_QUOTA": "1018",
    "KEY_REVOKED": "1004",
    "KEY_TAKEN": "0002",
    "LAST_OPERATOR_KEY": "1004",
    "LIMIT_REACHED": "1018",
    "LOG_CHANGED": "1004",
    "LOG_INTERRUPTED": AWAY,
    "LOG_UNAVAILABLE": AWAY,
    "MALFORMED_ADDRESS": By.FIELD,
    "MALFORMED_CIDR": "3009",
    "NAME_INVALID": "3076",
    "NAME_RESERVED": "3076",
    "NAME_TAKEN": "3076",
    "NETWORKS_FULL": "1018",
    "NETWORKS_TAKEN": "1018",
    "NOT_FOUND": By.KIND,
    "NO_COMMON_CELL": "2022",
    "NO_HOST_ADDRESS": "3010",
    "OPERATOR_ONLY": "0004",
    "OTHER_CELL": "1004",
    "OUTCOME_UNKNOWN": AWAY,
    "PAGE_TOKEN_INVALID": "0002",
    "PERMISSIONS_FULL": "3049",
    "POLICY_INVALID": "2048",
    "PORT_OF_ENDPOINT": "1004",
    "PORT_OUT_OF_RANGE": "3004",
    "PORT_WRONG_STATE": "1004",
    "POSITION_AHEAD": "0002",
    "PREFIX_OUT_OF_RANGE": "3009",
    "PRESENCE_MISSING": "0002",
    "PROJECT_QUOTA": "1018",
    "PROTOCOL_UNKNOWN": "3075",
    "RANGE_EMPTY": "0002",
    "REGISTRY_UNAVAILABLE": AWAY,
    "REQUEST_ID_REUSED": "0002",
    "ROLE_INVALID": "0002",
    "SERVER_TYPE_UNKNOWN": "3021",
    "SERVICE_IN_USE": "3006",
    "SERVICE_NOT_AVAILABLE": "2004",
    "SERVICE_QUOTA": "1018",
    "SERVICE_TYPE_UNKNOWN": "0002",
    "SERVICE_TYPE_UNSUPPORTED": "0002",
    "SERVICE_WRONG_STATE": "3045",
    "SHUTTING_DOWN": AWAY,
    "SLOW_WATCHER": THROTTLED,
    "SOURCE_ADDRESSES_EXHAUSTED": "2016",
    "STORE_UNAVAILABLE": AWAY,
    "SUBNETS_FULL": "1018",
    "SUBNET_EXISTS": "0002",
    "SUBNET_FULL": "2016",
    "SUBNET_IN_USE": "1004",
    "TAG_INVALID": "3068",
    "TAG_REPEATED": "3067",
    "TARGET_TAKEN": "0002",
    "TOO_MANY_CIDRS": "2045",
    "TOO_MANY_TAGS": "3069",
    "TOO_MANY_TESTS": THROTTLED,
    "TOO_MANY_TOKENS": THROTTLED,
    "TOO_MANY_WATCHERS": THROTTLED,
    "UNAUTHENTICATED": "0003",
    "UPDATE_MASK_INVALID": "0002",
    "UUID_INVALID": By.FIELD,
    "VPC_ATTACHED": "1004",
    "VPC_IN_USE": "1004",
    "VPC_WRONG_STATE": "1004",
    "WEIGHT_OUT_OF_RANGE": "0002",
    "WHITELIST_UNKNOWN": "2044",
    "WRONG_COUNT": By.FIELD,
    "WRONG_STATE": By.STATE,
}
"""By the reason that our services give."""

NOT_THERE: Mapping[str, str] = {
    "connection": "2006",
    "endpoint": "2006",
    "port": "4012",
    "service": "0005",
    "subnet": "4004",
    "vpc": "2001",
}
"""By the kind of what is not there. A body that names a VPC which is not there is wrong; the rest is not found."""

STATES: Mapping[str, str] = {
    "creating": "2019",
    "deleting": "2018",
    "deleted": "2008",
    "failed": "2047",
}
"""By the state that an endpoint is in."""

FIELDS: Mapping[str, str] = {
    "action": "0007",
    "address": "2041",
    "allowed_cidrs": "2044",
    "availability_zone_id": "0002",
    "client_port": "3004",
    "enable_dns": "2033",
    "endpoint_service_id": "3062",
    "endpoint_service_name": "3076",
    "ip": "3010",
    "limit": "0006",
    "marker_id": "0021",
    "offset": "0010",
    "permission": "3002",
    "permissions": "3036",
    "policy": "2048",
    "policy_document": "2048",
    "policy_statement": "2048",
    "port_id": "3003",
    "port_ip": "2041",
    "port_mappings": "3043",
    "ports": "3043",
    "project_id": "0014",
    "protocol": "3075",
    "resource_type": "3070",
    "routetables": "1019",
    "server_port": "3004",
    "server_type": "3021",
    "service_name": "3076",
    "sort_dir": "0018",
    "sort_key": "0017",
    "specification_name": "0015",
    "status": "0019",
    "subnet_id": "0023",
    "tags": "3068",
    "vpc_id": "0020",
    "whitelist": "2044",
}
"""By the field at fault, in the API's names and in ours."""

MISSING: Mapping[str, str] = {
    "endpoint_service_id": "2029",
    "ports": "2028",
    "tags": "3066",
    "vpc_id": "2011",
}
"""By the field that is not there."""

TOO_MANY: Mapping[str, str] = {
    "endpoints": "0016",
    "permissions": "3049",
    "ports": "3074",
    "tags": "3069",
    "whitelist": "2045",
}
"""By the list that is too long."""
