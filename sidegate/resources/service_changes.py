"""What is to be another in an endpoint service."""

from collections.abc import Sequence
from typing import TypeAlias, TypedDict

from sidegate.api.registry.v1.endpoint_service_pb2 import (
    ApprovalRules,
    Backend,
    ConsumerLimits,
    EndpointService,
    HealthCheck,
    PortMapping,
    SessionSettings,
)
from sidegate.api.registry.v1.tag_pb2 import Tag

Identity: TypeAlias = EndpointService.ClientIdentity.ValueType


class Changes(TypedDict, total=False):
    """As `Services.update` takes it: what is not there stays."""

    backends: Sequence[Backend] | None
    port_mappings: Sequence[PortMapping] | None
    approval_required: bool | None
    description: str | None
    tags: Sequence[Tag] | None
    client_identity: Identity | None
    approval_rules: ApprovalRules | None
    consumer_limits: ConsumerLimits | None
    name: str | None
    session_settings: SessionSettings | None
    health_check: HealthCheck | None
    no_health_check: bool
    private_name: str | None
