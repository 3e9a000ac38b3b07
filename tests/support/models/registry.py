"""The registry by its rules: what is there, who owns it, what is refused. Its rules are asked before anything is done.

Each question gives the refusals that are right; where there are several, which one comes first is nobody's promise.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from services.common.principal import Principal
from sidegate import errors

Refusals = Set[type[errors.SidegateError]]
FINE: Refusals = frozenset()
RESOLVER = "gateway/resolver"
GRACE_SECONDS, CLOSING_SECONDS = 60, 30
ONE_WAY = 30
"""Seconds after which gateways remove a UDP session that nobody answered, where the service does not say."""
AVAILABLE, CLOSING, DELETING = "AVAILABLE", "CLOSING", "DELETING"


@dataclass
class Vpc:
    owner: Principal
    name: str
    cidrs: tuple[str, ...]
    etags: list[str] = field(default_factory=list)


@dataclass
class Subnet:
    vpc: str
    owner: Principal
    name: str
    cidr: str


@dataclass
class Port:
    subnet: str
    owner: Principal
    address: str
    holder: str

    @property
    def endpoint(self) -> str:
        """The endpoint that has it; empty for a machine's."""
        kind, _, id_ = self.holder.partition("/")
        return id_ if kind == "endpoint" else ""


@dataclass
class Attachment:
    vpc: str
    cell: str
    network: str


@dataclass
class Service:
    """`etags` are all that were ever seen of it, the one that fits last."""

    owner: Principal
    name: str
    full_name: str
    vpc: str
    backends: tuple[str, ...]
    approval: bool = False
    description: str = ""
    one_way: int = ONE_WAY
    permissions: set[str] = field(default_factory=set)
    stage: str = AVAILABLE
    etags: list[str] = field(default_factory=list)

    @property
    def shown(self) -> tuple[object, ...]:
        """To its owner."""
        permissions = frozenset(self.permissions)
        facts = (self.name, self.full_name, self.vpc, self.backends, self.approval, self.description, self.one_way)
        return (*facts, permissions, self.stage)


@dataclass
class Registry:
    """`live` are the connections of services and `away` whether the endpoint service can be asked for them."""

    quota: int
    vpcs: dict[str, Vpc] = field(default_factory=dict)
    subnets: dict[str, Subnet] = field(default_factory=dict)
    ports: dict[str, Port] = field(default_factory=dict)
    attachments: dict[str, Attachment] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    deleted: dict[str, Service] = field(default_factory=dict)
    live: dict[str, list[str]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    away: bool = False

    # VPCs, subnets, attachments

    def create_vpc(self, who: Principal, name: str) -> Refusals:
        taken = any(vpc.owner == who and vpc.name == name for vpc in self.vpcs.values())
        return {errors.AlreadyExists} if taken else FINE

    def delete_vpc(self, who: Principal, id_: str, etag: str) -> Refusals:
        if not self.owns(who, self.vpcs.get(id_)):
            return {errors.NotFound}
        return self._stale(self.vpcs[id_].etags, etag) | ({errors.WrongState} if any(self._uses(id_)) else FINE)

    def _uses(self, vpc: str) -> Iterator[str]:
        for things in (self.subnets, self.attachments, self.services):
            yield from (id_ for id_, thing in things.items() if thing.vpc == vpc)

    def create_subnet(self, who: Principal, vpc: str, name: str, cidr: str) -> Refusals:
        if not self.owns(who, self.vpcs.get(vpc)):
            return {errors.NotFound}
        wanted, others = IPv4Network(cidr), [each for each in self.subnets.values() if each.vpc == vpc]
        refusals = set[type[errors.SidegateError]]()
        if not any(wanted.subnet_of(IPv4Network(each)) for each in self.vpcs[vpc].cidrs):
            refusals.add(errors.InvalidRequest)
        if any(wanted.overlaps(IPv4Network(each.cidr)) for each in others):
            refusals.add(errors.InvalidRequest)
        if any(each.name == name for each in others):
            refusals.add(errors.AlreadyExists)
        return refusals

    def delete_subnet(self, who: Principal, id_: str) -> Refusals:
        if not self.owns(who, self.subnets.get(id_)):
            return {errors.NotFound}
        return {errors.WrongState} if self.taken(id_) else FINE

    def attach(self, who: Principal, vpc: str, cell: str, network: str) -> Refusals:
        """To anybody but the operator there is nothing of the kind."""
        if not who.is_operator:
            return {errors.NotFound}
        if vpc not in self.vpcs:
            return {errors.NotFound}
        here = [each for each in self.attachments.values() if each.cell == cell]
        return {errors.AlreadyExists} if any(vpc == each.vpc or network == each.network for each in here) else FINE

    def detach(self, who: Principal, id_: str) -> Refusals:
        if not who.is_operator:
            return {errors.NotFound}
        return FINE if id_ in self.attachments else {errors.NotFound}

    # addresses

    def taken(self, subnet: str) -> dict[str, str]:
        """Addresses of a subnet, each with its port."""
        held = [(port.address, id_) for id_, port in self.ports.items() if port.subnet == subnet]
        assert len(dict(held)) == len(held), "one address of one subnet has two holders"
        return dict(held)

    def lowest(self, subnet: str) -> str:
        """The first address is the router's; empty where none is free."""
        hosts = list(IPv4Network(self.subnets[subnet].cidr).hosts())[1:]
        return next((str(host) for host in hosts if str(host) not in self.taken(subnet)), "")

    def create_port(self, who: Principal, subnet: str, address: str) -> Refusals:
        if not self.owns(who, self.subnets.get(subnet)):
            return {errors.NotFound}
        return self._take(subnet, address)

    def _take(self, subnet: str, address: str) -> Refusals:
        if not address:
            return FINE if self.lowest(subnet) else {errors.QuotaReached}
        if IPv4Address(address) not in list(IPv4Network(self.subnets[subnet].cidr).hosts())[1:]:
            return {errors.InvalidRequest}
        return {errors.AlreadyExists} if address in self.taken(subnet) else FINE

    def delete_port(self, who: Principal, id_: str) -> Refusals:
        if not self.owns(who, self.ports.get(id_)):
            return {errors.NotFound}
        return FINE if self.ports[id_].holder.startswith("machine/") else {errors.WrongState}

    def resolver_of(self, vpc: str) -> str:
        """The port of a VPC's resolver; a VPC has one at most."""
        ours = [id_ for id_, port in self.ports.items() if port.holder == RESOLVER]
        held = [id_ for id_ in ours if self.subnets[self.ports[id_].subnet].vpc == vpc]
        assert len(held) <= 1, f"vpc {vpc} has {len(held)} resolvers"
        return held[0] if held else ""

    def set_resolver(self, who: Principal, vpc: str, subnet: str, address: str) -> Refusals:
        there = self.owns(who, self.vpcs.get(vpc)) and self.owns(who, self.subnets.get(subnet))
        if not there or self.subnets[subnet].vpc != vpc:
            return {errors.NotFound}
        known = self.ports.get(self.resolver_of(vpc))
        stays = known is not None and known.subnet == subnet and address in ("", known.address)
        return FINE if stays else self._take(subnet, address)

    def delete_resolver(self, who: Principal, vpc: str) -> Refusals:
        return FINE if self.owns(who, self.vpcs.get(vpc)) else {errors.NotFound}

    def port_of(self, endpoint: str) -> str:
        """The port that an endpoint has; an endpoint has one at most."""
        held = [id_ for id_, port in self.ports.items() if port.endpoint == endpoint]
        assert len(held) <= 1, f"endpoint {endpoint} has {len(held)} addresses"
        return held[0] if held else ""

    def reserve(self, endpoint: str, owner: Principal, service: str, subnet: str, address: str) -> Refusals:
        refusals = set[type[errors.SidegateError]]()
        if not self.visible(owner, service) or not self.owns(owner, self.subnets.get(subnet)):
            refusals.add(errors.NotFound)
        if self.visible(owner, service) and self.services[service].stage != AVAILABLE:
            refusals.add(errors.WrongState)
        if refusals:
            return refusals
        if not (held := self.port_of(endpoint)):
            return self._take(subnet, address)
        port = self.ports[held]
        same = (port.subnet, port.owner) == (subnet, owner) and address in ("", port.address)
        return FINE if same else {errors.AlreadyExists}

    def release(self, endpoint: str) -> None:
        self.ports.pop(self.port_of(endpoint), None)

    # endpoint services

    def publish(self, who: Principal, vpc: str, name: str, backend: str) -> Refusals:
        if not self.owns(who, self.vpcs.get(vpc)):
            return {errors.NotFound}
        refusals = set[type[errors.SidegateError]]()
        if not any(IPv4Address(backend) in IPv4Network(cidr) for cidr in self.vpcs[vpc].cidrs):
            return {errors.InvalidRequest}
        theirs = [each for each in self.services.values() if each.owner == who]
        if any(each.name == name for each in theirs):
            refusals.add(errors.AlreadyExists)
        if len(theirs) >= self.quota:
            refusals.add(errors.QuotaReached)
        return refusals

    def change(self, who: Principal, id_: str, etag: str, backend: str = "") -> Refusals:
        """Also of permissions: what is on its way out is changed no more."""
        if not self.owns(who, self.services.get(id_)):
            return {errors.NotFound}
        service = self.services[id_]
        refusals = self._stale(service.etags, etag)
        if backend and not any(IPv4Address(backend) in IPv4Network(cidr) for cidr in self.vpcs[service.vpc].cidrs):
            refusals = refusals | {errors.InvalidRequest}
        return refusals | (FINE if service.stage == AVAILABLE else {errors.WrongState})

    def ask_of_gateways(self, who: Principal, id_: str, etag: str, one_way: int) -> Refusals:
        """Limits of values are the contract's: they are asked before it is known whose the service is."""
        wrong: Refusals = {errors.InvalidRequest} if one_way and not 5 <= one_way <= 300 else FINE
        return self.change(who, id_, etag) | wrong

    def visible(self, who: Principal, id_: str) -> bool:
        """Whether an account may know of a service."""
        service = self.services.get(id_)
        allowed = {f"iam:domain::{who.account}", "iam:domain::*"}
        return service is not None and (service.owner.account == who.account or bool(allowed & service.permissions))

    def withdraw(self, who: Principal, id_: str, force: bool, etag: str) -> Refusals:
        """A deletion: closed first, then decided by what is connected; it leaves the stage that it comes to.

        Again is not an error, however long ago it was.
        """
        if self.owns(who, self.deleted.get(id_)):
            return FINE
        if not self.owns(who, self.services.get(id_)):
            return {errors.NotFound}
        service = self.services[id_]
        if service.stage == AVAILABLE and (stale := self._stale(service.etags, etag)):
            return stale
        if service.stage == DELETING:
            return FINE
        if force:
            self._end(id_, connected=self.away or bool(self.live.get(id_)))
            return FINE
        if self.away:
            service.stage = CLOSING
            return {errors.Unavailable}
        if self.live.get(id_):
            service.stage = AVAILABLE
            return {errors.WrongState}
        self._end(id_, connected=False)
        return FINE

    def _end(self, id_: str, *, connected: bool) -> None:
        if connected:
            self.services[id_].stage = DELETING
        else:
            self.deleted[id_] = self.services.pop(id_)

    def pass_time(self, seconds: int) -> None:
        """What the registry does by itself when so much time has passed."""
        for id_, service in list(self.services.items()):
            blocked = bool(self.live.get(id_))
            if service.stage == CLOSING and (seconds > CLOSING_SECONDS or (not self.away and blocked)):
                service.stage = AVAILABLE
            elif service.stage in (CLOSING, DELETING) and not self.away and not blocked:
                self._end(id_, connected=False)
        if seconds > GRACE_SECONDS and not self.away:
            for port in [id_ for id_, port in self.ports.items() if port.endpoint and port.endpoint not in self.known]:
                del self.ports[port]

    def owns(self, who: Principal, thing: Vpc | Subnet | Port | Service | None) -> bool:
        return thing is not None and thing.owner == who

    def _stale(self, seen: list[str], etag: str) -> Refusals:
        return {errors.Outdated} if etag and etag != seen[-1] else FINE
