"""What an endpoint has in every state."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address

from services.common.addressing import Address, Network
from services.common.labels import Tag
from services.common.principal import Principal
from services.endpoint.domain.routes import Routing
from services.endpoint.domain.whitelists import nobody


class Whitelist(Enum):
    """Whether the whitelist counts. AS_LISTED: where it is not empty."""

    AS_LISTED = "as_listed"
    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an endpoint is carried, and whose service is on its other side."""

    cell: str
    provider: Principal
    provider_vpc: str


@dataclass(frozen=True, slots=True)
class SourceLease:
    """An address that one gateway's connections for the endpoint come from, unique in the provider's VPC.

    A gateway has one from the beginning, and more behind it where its sessions need them.
    """

    gateway: str
    address: IPv4Address


@dataclass(frozen=True, slots=True)
class Facts:
    """What an endpoint has in every state. Times are nanoseconds since the epoch.

    `dns_names` are its own, and its service's as it was when DNS was turned on; it has them until it is to go.
    `generation` counts what alters forwarding, `admission` the approvals, `version` all events, `unseen` those that its
    owner sees nothing of, the last of them at `noted_at`. `note` is the service owner's, `policy` a JSON object or
    empty. `pending_for` and `accepted_for` (ns) are its service's rules of when it was requested, `expires_at` is when
    it ends by itself; 0: never. `service_version` is that of the service as the request saw it; 0: not known. Sessions
    that were established before it was Rejected or Deleting go on until `drain_until`; 0: they are cut. One with a
    `routing` has no subnet and no port: its `address` is the first of its first route, which stands for it.
    """

    id: str
    owner: Principal
    name: str
    service: str
    service_full_name: str
    subnet: str
    vpc: str
    address: Address
    port: str
    marker: int
    placement: Placement
    created_at: int
    updated_at: int
    allowed: tuple[Network, ...] = ()
    sources: tuple[SourceLease, ...] = ()
    generation: int = 1
    admission: int = 0
    version: int = 1
    description: str = ""
    tags: tuple[Tag, ...] = ()
    whitelist: Whitelist = Whitelist.AS_LISTED
    policy: str = ""
    dns: bool = False
    dns_names: tuple[str, ...] = ()
    note: str = ""
    pending_for: int = 0
    accepted_for: int = 0
    expires_at: int = 0
    counted: bool = False
    service_version: int = 0
    drain_until: int = 0
    noted_at: int = 0
    unseen: int = 0
    routing: Routing | None = None

    @property
    def revision(self) -> int:
        """Changes with all that its owner sees of it, and with nothing else."""
        return self.version - self.unseen

    def sources_of(self, gateway: str) -> tuple[SourceLease, ...]:
        """Those of one gateway, the first of them first."""
        return tuple(lease for lease in self.sources if lease.gateway == gateway)

    @property
    def admitted(self) -> tuple[Network, ...]:
        """The sources that gateways let in; empty is everybody."""
        if self.routing is not None:
            return self.routing.subnets or nobody(self.address)
        if self.whitelist is Whitelist.DISABLED:
            return ()
        return nobody(self.address) if self.whitelist is Whitelist.ENABLED and not self.allowed else self.allowed
