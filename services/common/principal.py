"""Who asks: carried by every command into every event."""

from dataclasses import dataclass, field
from enum import Enum

OPERATOR = "operator"
SYSTEM = "system"


class Role(Enum):
    """What a caller is, which decides what it may do: the first three by an access key, programs by a certificate."""

    OPERATOR = "operator"
    ADMIN = "admin"
    VIEWER = "viewer"
    REGISTRY = "registry"
    ENDPOINT = "endpoint"
    HTTP_API = "http_api"
    GATEWAY = "gateway"
    MACHINE = "machine"
    """Whoever may open a gateway's socket: root of its machine."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An account and one of its projects. `operator` owns the platform; `system` is one of our own programs.

    `acting` is the account that really asks, where the operator acts for this one; `access_key` what it proved itself
    with. Both are for the audit, and make no other principal of it.
    """

    account: str
    project: str
    acting: str = field(default="", compare=False)
    access_key: str = field(default="", compare=False)

    @property
    def is_operator(self) -> bool:
        return self.account == OPERATOR

    @property
    def is_system(self) -> bool:
        return self.account == SYSTEM

    def __str__(self) -> str:
        return f"{self.account}/{self.project}"


@dataclass(frozen=True, slots=True)
class Identity:
    """A principal, and how it has proved to be one. `cell` is a gateway's, `generation` that of an access key."""

    principal: Principal
    role: Role
    cell: str = ""
    generation: int = 0
