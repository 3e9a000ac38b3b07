"""What can be commanded of an endpoint service. `at` is nanoseconds since the epoch."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.common import addressing
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

Network = tuple[addressing.Network, ...]
"""The ranges of the service's VPC, which never change: backends lie inside them."""


@dataclass(frozen=True, slots=True)
class Create:
    """Nothing has to be waited for at present: the service is open at once. `ip_version` 0 is that of its backends."""

    service: Service
    network: Network
    ip_version: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    at: int


@dataclass(frozen=True, slots=True)
class Fail:
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class Change:
    """What is None stays."""

    at: int
    network: Network
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
class VerifyName:
    """The TXT record of this name was found, as it should be."""

    name: PrivateName
    at: int


@dataclass(frozen=True, slots=True)
class AddPermissions:
    """`descriptions` are by permission; one that names none keeps the one it has."""

    permissions: tuple[str, ...]
    at: int
    descriptions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemovePermissions:
    permissions: tuple[str, ...]
    at: int
    end_connections: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """Try a deletion. One that is under way goes on, unless this one ends connections and that one does not."""

    force: bool
    deadline: int
    at: int


@dataclass(frozen=True, slots=True)
class Reopen:
    """Give up the attempt with this deadline."""

    deadline: int
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class StartDeletion:
    """Decide the attempt with this deadline. Without connections the service is gone at once."""

    deadline: int
    connected: bool
    at: int


@dataclass(frozen=True, slots=True)
class FinishDeletion:
    at: int


Command = (
    Create
    | Open
    | Fail
    | Change
    | VerifyName
    | AddPermissions
    | RemovePermissions
    | Close
    | Reopen
    | StartDeletion
    | FinishDeletion
)
