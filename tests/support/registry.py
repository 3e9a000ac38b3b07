"""Domain values of the registry as tests need them: short to write, the same every time."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from services.common.addressing import address_of, network_of, networks_of
from services.common.eventsourcing.store import Claim, Constraints
from services.common.principal import Principal
from services.registry.domain.network import Subnet, Vpc
from services.registry.domain.port import Holder, Machine, Port
from services.registry.domain.publication import Backend, PortMapping, Protocol, Service, full_name
from services.registry.domain.reach import Attachment
from services.registry.domain.targets import Netns, Target

AT = 1_700_000_000_000_000_000
PAYMENTS = Principal("payments", "payments-live")
SHOP = Principal("shop", "shop-live")
NETWORK = (IPv4Network("10.0.0.0/24"),)


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def vpc(*cidrs: str, id_: str = uuid(1), name: str = "main") -> Vpc:
    return Vpc(id_, PAYMENTS, name, networks_of(cidrs or ("10.0.0.0/24",)), AT)


def subnet(cidr: str = "10.0.0.0/25", number: int = 2, name: str = "") -> Subnet:
    return Subnet(uuid(number), name or f"subnet-{number}", network_of(cidr), AT)


def port(address: str = "10.0.0.10", holder: Holder | None = None) -> Port:
    return Port(uuid(3), uuid(2), uuid(1), PAYMENTS, address_of(address), holder or Machine("web"), AT)


PAYMENTS_NETNS = Netns("payments", "sidegate0")


def attachment(cell: str = "default", target: Target = PAYMENTS_NETNS) -> Attachment:
    return Attachment(uuid(4), uuid(1), cell, target, AT)


def mapping(client: int = 80, server: int = 8080, protocol: Protocol = Protocol.TCP) -> PortMapping:
    return PortMapping(client, server, protocol)


def service(*backends: str, mappings: Iterable[PortMapping] = (mapping(),), number: int = 5) -> Service:
    id_ = uuid(number)
    return Service(
        id=id_,
        owner=PAYMENTS,
        name="web",
        full_name=full_name("local", "web", id_),
        vpc_id=uuid(1),
        backends=tuple(Backend(address_of(each)) for each in backends or ("10.0.0.10",)),
        port_mappings=tuple(mappings),
        approval_required=True,
        created_at=AT,
        updated_at=AT,
    )


@dataclass
class Ledger:
    """Claims and counters as a store keeps them, for one stream."""

    claims: set[Claim] = field(default_factory=set)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def apply(self, constraints: Constraints) -> None:
        self.claims -= set(constraints.releases)
        assert self.claims.isdisjoint(constraints.claims), "claimed twice"
        self.claims |= set(constraints.claims)
        for count in constraints.counts:
            self.counts[count.kind, count.key] += count.delta
        assert all(value >= 0 for value in self.counts.values()), "counted below nothing"

    def of(self, kind: str) -> list[str]:
        return sorted(claim.key for claim in self.claims if claim.kind == kind)
