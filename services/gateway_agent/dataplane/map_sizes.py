"""Size of key and value of every map of the table, as bpf/maps.h has them."""

from collections.abc import Mapping

from services.gateway_agent.dataplane.maps import (
    ALLOWED_KEY,
    BACKEND_KEY,
    COUNT,
    ENDPOINT_KEY,
    NUMBER,
    OWNER,
    OWNER_KEY,
    PORT_KEY,
    PORT_VALUE,
    SOURCE_KEY,
    VERSIONED_KEY,
    BackendValue,
    EndpointValue,
    ServiceRecord,
    VpcDevice,
)
from services.gateway_agent.dataplane.records import AttachmentRecord
from services.gateway_agent.dataplane.route_maps import RANGE_KEY, RULE_PORT_KEY
from services.gateway_agent.dataplane.settings_map import Settings
from services.gateway_agent.dataplane.shares import SLOTS

SIZES: Mapping[str, tuple[int, int]] = {
    "devices": (NUMBER.size, NUMBER.size),
    "vpcs": (NUMBER.size, VpcDevice.LAYOUT.size),
    "endpoints": (ENDPOINT_KEY.size, EndpointValue.LAYOUT.size),
    "slots": (NUMBER.size, COUNT.size),
    "deadlines": (NUMBER.size, COUNT.size),
    "drains": (NUMBER.size, COUNT.size),
    "source_counts": (NUMBER.size, COUNT.size),
    "proxies": (NUMBER.size, COUNT.size),
    "more_sources": (SOURCE_KEY.size, 4),
    "source_owners": (OWNER_KEY.size, OWNER.size),
    "allowed": (ALLOWED_KEY.size, NUMBER.size),
    "routes": (RANGE_KEY.size, 16),
    "rules": (ALLOWED_KEY.size, NUMBER.size),
    "rule_ports": (RULE_PORT_KEY.size, NUMBER.size),
    "services": (NUMBER.size, COUNT.size),
    "settings": (VERSIONED_KEY.size, Settings.LAYOUT.size),
    "ports": (PORT_KEY.size, PORT_VALUE.size),
    "backends": (BACKEND_KEY.size, BackendValue.LAYOUT.size),
    "shares": (VERSIONED_KEY.size, SLOTS),
    "attachments": (16, AttachmentRecord.LAYOUT.size),
    "service_names": (16, ServiceRecord.LAYOUT.size),
}
