"""What happens to an endpoint service. `at` is nanoseconds since the epoch."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.common.labels import Tag
from services.common.service_settings import HealthCheck, SessionSettings
from services.registry.domain.private_name import PrivateName, Unnamed
from services.registry.domain.publication import (
    ApprovalRules,
    Backend,
    ClientIdentity,
    ConsumerLimits,
    PortMapping,
    Service,
    Unchecked,
)


@dataclass(frozen=True, slots=True)
class ServiceCreated:
    service: Service


@dataclass(frozen=True, slots=True)
class ServiceOpened:
    at: int


@dataclass(frozen=True, slots=True)
class ServiceFailed:
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class ServiceChanged:
    """What is None stayed."""

    at: int
    backends: tuple[Backend, ...] | None = None
    port_mappings: tuple[PortMapping, ...] | None = None
    approval_required: bool | None = None
    description: str | None = None
    tags: tuple[Tag, ...] | None = None
    client_identity: ClientIdentity | None = None
    approval_rules: ApprovalRules | None = None
    consumer_limits: ConsumerLimits | None = None
    name: str | None = None
    session_settings: SessionSettings | None = None
    health_check: HealthCheck | Unchecked | None = None
    private_name: PrivateName | Unnamed | None = None


@dataclass(frozen=True, slots=True)
class PrivateNameVerified:
    at: int


@dataclass(frozen=True, slots=True)
class PermissionsAdded:
    """Those that are new; descriptions of these and of others that were there, by permission."""

    permissions: tuple[str, ...]
    at: int
    descriptions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PermissionsRemoved:
    """Those that were there, and those whose connections end."""

    permissions: tuple[str, ...]
    at: int
    ended: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceClosed:
    force: bool
    deadline: int
    at: int


@dataclass(frozen=True, slots=True)
class ServiceReopened:
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class ServiceDeletionStarted:
    at: int


@dataclass(frozen=True, slots=True)
class ServiceDeleted:
    at: int


Event = (
    ServiceCreated
    | ServiceOpened
    | ServiceFailed
    | ServiceChanged
    | PrivateNameVerified
    | PermissionsAdded
    | PermissionsRemoved
    | ServiceClosed
    | ServiceReopened
    | ServiceDeletionStarted
    | ServiceDeleted
)
