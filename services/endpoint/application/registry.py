"""What the endpoint service asks of the registry, in words of its own."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from services.common.addressing import Address, Network
from services.common.labels import Tag
from services.common.principal import Principal
from services.common.service_settings import USUAL, HealthCheck, SessionSettings
from services.endpoint.domain.forwarding import (
    NO_LIMITS,
    UNKNOWN_LOG,
    Backend,
    Limits,
    PortMapping,
    RegistryLog,
    ServiceForwarded,
)
from services.endpoint.domain.resolvers import Resolver
from services.endpoint.domain.routes import Place
from services.endpoint.domain.targets import Target

EVERYBODY = "iam:domain::*"


@dataclass(frozen=True, slots=True)
class Rules:
    """What is decided without the service's owner. Durations in nanoseconds; 0 is for ever."""

    accounts: frozenset[str] = frozenset()
    tags: frozenset[Tag] = frozenset()
    pending_for: int = 0
    accepted_for: int = 0


NO_RULES = Rules()


@dataclass(frozen=True, slots=True)
class Removal:
    """A permission was removed with the connections of before: when (ns since the epoch), and by which version of its
    service. Clocks differ, and a call takes its time: of a request, the version that it relied on tells more.
    """

    at: int
    version: int = 0


@dataclass(frozen=True, slots=True)
class PublishedService:
    """An endpoint service as the registry has it. One that is `gone` will not come back.

    `ended` are permissions that were removed together with the connections that they had let in. `private_name` is one
    that is verified; empty where there is none. One with `public_prefixes` is reached by routes.
    """

    id: str
    full_name: str
    owner: Principal
    vpc: str
    version: int
    backends: tuple[Backend, ...]
    ports: tuple[PortMapping, ...]
    approval_required: bool
    gone: bool = False
    permissions: frozenset[str] = frozenset()
    ended: Mapping[str, Removal] = field(default_factory=dict)
    rules: Rules = NO_RULES
    endpoints_per_account: int = 0
    limits: Limits = NO_LIMITS
    log: RegistryLog = UNKNOWN_LOG
    session_settings: SessionSettings = USUAL
    health_check: HealthCheck | None = None
    private_name: str = ""
    public_prefixes: tuple[Network, ...] = ()

    def decides_on(self, account: str, tags: Collection[Tag]) -> bool:
        """Whether the owner, or nobody yet, decides on a connection of this account with these tags."""
        known = account in self.rules.accounts or not self.rules.tags.isdisjoint(tags)
        return self.approval_required and not known

    def ended_for(self, account: str) -> Removal | None:
        """What has ended earlier connections of an account that may connect no more."""
        own = f"iam:domain::{account}"
        if account == self.owner.account or not self.permissions.isdisjoint((own, EVERYBODY)):
            return None
        removals = [removal for permission in (own, EVERYBODY) if (removal := self.ended.get(permission))]
        if not removals:
            return None
        return Removal(max(each.at for each in removals), max(each.version for each in removals))

    def in_cell(self, cell: str) -> ServiceForwarded:
        return ServiceForwarded(
            cell=cell,
            service=self.id,
            version=self.version,
            vpc=self.vpc,
            backends=self.backends,
            ports=self.ports,
            limits=self.limits,
            log=self.log,
            session_settings=self.session_settings,
            health_check=self.health_check,
        )


@dataclass(frozen=True, slots=True)
class Tables:
    """Route tables by id, and the ranges of their subnets."""

    ids: tuple[str, ...] = ()
    subnets: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Reservation:
    """An address, or route tables, that were taken for an endpoint, the service it may lead to, and how each cell
    reaches both VPCs. What has tables has no port and no subnet, and the address that stands for its routes.
    """

    port: str
    vpc: str
    subnet: str
    address: Address
    service: PublishedService
    consumer: Mapping[str, Target]
    provider: Mapping[str, Target]
    tables: Tables = Tables()


@dataclass(frozen=True, slots=True)
class Sources:
    """Services by id, targets by VPC and cell, and resolvers by VPC, as they are now in this log; what is missing is
    gone."""

    services: Mapping[str, PublishedService]
    targets: Mapping[tuple[str, str], Target]
    log: RegistryLog = UNKNOWN_LOG
    resolvers: Mapping[str, Resolver] = field(default_factory=dict)


class Registry(Protocol):
    """Raises what the registry refuses as Refused; Unavailable where it does not answer."""

    async def reserve(
        self,
        *,
        endpoint: str,
        owner: Principal,
        service: str,
        place: Place,
        validate_only: bool = False,
    ) -> Reservation:
        """Takes an address for an endpoint, once: asked again, it gives the same answer. Or only says what it would."""

    async def hold(
        self, endpoint: str, owner: Principal, vpc: str, tables: Collection[str], *, validate_only: bool = False
    ) -> Tables:
        """Takes exactly these route tables for an endpoint that has some."""

    async def tables(self, ids: Collection[str]) -> Mapping[str, Tables]:
        """Of up to 1000 route tables those that are there, each with its subnets."""

    async def release(self, endpoint: str) -> None:
        """Gives an endpoint's address back; again is not an error."""

    async def sources(self, services: Collection[str], vpcs: Collection[str]) -> Sources:
        """What is forwarded of up to 1000 services and 1000 VPCs."""

    async def attached(self) -> Collection[str]:
        """Every VPC that gateways of some cell reach."""
