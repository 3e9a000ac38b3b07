"""What annexes put into a table beside what was asked for: for endpoints with PROXY ports, and for resolvers. Pure.

Of an endpoint whose service has PROXY ports: a service in the annex of its VPC, the proxy, that keeps the source, and
an endpoint there with the same address, which the proxy connects to. Of a resolver: a service in the annex, and an
endpoint in the VPC. Their ids follow from those of what they are for.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from uuid import UUID, uuid5

from services.gateway_agent.table import (
    Address,
    Affinity,
    Attachment,
    Backend,
    ClientIdentity,
    Endpoint,
    Entry,
    ForwardingTable,
    Key,
    Kind,
    Limits,
    PortMapping,
    Protocol,
    Resolver,
    Service,
    Timeouts,
    everybody,
)
from services.gateway_agent.targets import RESOLVER, RESOLVER_V6, Annex, annex_id

DNS_PORT = 53
QUESTIONS = Timeouts(udp_two_way=10, udp_one_way=5)
"""A question's session is over with its answer: a tenant's must not fill the gateway's table of sessions."""

MOST_QUESTIONS = Limits(connections=20_000)
NO_SOURCE = IPv4Address(0)
_DERIVED = UUID("5f0c27f2-6b0e-5d51-9a3b-8e6a2d1f4c90")

Wishes = Mapping[Key, Entry | None]
"""What each key should be; None is nothing."""


@dataclass(frozen=True, slots=True)
class Proxied:
    """What the proxy of an annex must know of an endpoint: of sessions to these client ports it tells who they are."""

    endpoint: str
    marker: int
    vpc: str
    address: Address
    ports: tuple[int, ...]
    timeouts: Timeouts = field(default_factory=Timeouts)
    affinity: Affinity = Affinity.NONE

    @property
    def service(self) -> Key:
        """The proxy in the table."""
        return Key(Kind.SERVICE, proxy_id(self.endpoint))


@dataclass(frozen=True, slots=True)
class Expanded:
    """The entries of one endpoint or resolver, in the order in which they are put."""

    entries: tuple[Entry, ...]
    vpc: str = ""  # whose annex they need; none, where it is empty
    proxied: Proxied | None = None

    def annex(self) -> Attachment | None:
        return Attachment(annex_id(self.vpc), Annex(self.vpc)) if self.vpc else None


NOTHING = Expanded(())


def proxy_id(endpoint: str) -> str:
    """Of the service in the annex that an endpoint's PROXY ports lead to."""
    return str(uuid5(_DERIVED, f"proxy/{endpoint}"))


def inner_id(endpoint: str) -> str:
    """Of the endpoint in the annex that its proxy connects to."""
    return str(uuid5(_DERIVED, f"inner/{endpoint}"))


def resolver_id(vpc: str) -> str:
    """Of a resolver's endpoint, and of its service."""
    return str(uuid5(_DERIVED, f"resolver/{vpc}"))


def expanded(endpoint: Endpoint, service: Service | None) -> Expanded:
    """With the service that it leads to; without it nobody knows whether a proxy is needed."""
    ports = proxy_ports(service) if service else ()
    if service is None or not ports:
        return Expanded((endpoint,))
    annex, proxy = annex_id(endpoint.vpc), proxy_id(endpoint.id)
    through = Service(
        id=proxy,
        vpc=annex,
        ports=tuple(PortMapping(port, port, Protocol.TCP) for port in ports),
        backends=(Backend(endpoint.address),),
        timeouts=service.timeouts,
        limits=service.limits,
        reset_expired=service.reset_expired,
        keeps_source=True,
    )
    inner = replace(
        endpoint,
        id=inner_id(endpoint.id),
        vpc=annex,
        allowed=everybody(endpoint.address.version),
        routes=(),
        proxy=service.id,
    )
    told = Proxied(
        endpoint.id, endpoint.marker, endpoint.vpc, endpoint.address, ports, service.timeouts, service.affinity
    )
    return Expanded((through, inner, replace(endpoint, proxy=proxy)), endpoint.vpc, told)


def resolving(resolver: Resolver) -> Expanded:
    id_, version = resolver_id(resolver.vpc), resolver.address.version
    server = RESOLVER if version == RESOLVER.version else RESOLVER_V6
    ports = tuple(PortMapping(DNS_PORT, DNS_PORT, protocol) for protocol in (Protocol.TCP, Protocol.UDP))
    service = Service(
        id_, annex_id(resolver.vpc), ports, (Backend(server),), QUESTIONS, limits=MOST_QUESTIONS, keeps_source=True
    )
    asked = Endpoint(id_, 0, resolver.vpc, resolver.address, id_, NO_SOURCE, 1, everybody(version))
    return Expanded((service, asked), resolver.vpc)


def proxy_ports(service: Service) -> tuple[int, ...]:
    """The client ports that need a proxy."""
    told = (each for each in service.ports if each.identity is ClientIdentity.PROXY)
    return tuple(sorted({each.client_port for each in told if each.protocol is Protocol.TCP}))


def expand(table: ForwardingTable, resolvers: Iterable[Resolver] = ()) -> ForwardingTable:
    """A whole table."""
    annexes, entries = Annexes(), dict[Key, Entry | None]()
    for entry in (*table.entries.values(), *resolvers):
        entries.update(annexes.give(entry.key, entry))
    return ForwardingTable.of(entry for entry in entries.values() if entry is not None)


class Annexes:
    """Keeps what was asked for, and what that makes. Each key costs what it makes, a service what its endpoints do."""

    def __init__(self) -> None:
        self._services: dict[str, Service] = {}
        self._endpoints: dict[Key, Endpoint] = {}
        self._users: dict[str, dict[Key, None]] = {}  # of a service
        self._made: dict[Key, Expanded] = {}  # by endpoint or resolver
        self._tenants: dict[str, dict[Key, None]] = {}  # by annex
        self._owners: dict[Key, Key] = {}
        self._changed: dict[str, None] = {}

    def give(self, key: Key, entry: Entry | Resolver | None) -> Wishes:
        """Takes in what is asked for of a key. Gives all that it makes, and the keys that it makes no more, news or
        not."""
        match key.kind, entry:
            case Kind.SERVICE, Service() | None:
                return {key: entry, **self._give_service(key, entry)}
            case Kind.ENDPOINT, Endpoint() | None:
                return self._give_endpoint(key, entry)
            case Kind.RESOLVER, Resolver():
                return self._make(key, resolving(entry))
            case Kind.RESOLVER, _:
                return self._make(key, NOTHING)
            case _, Attachment() | None:
                return {key: entry}
            case _:
                raise TypeError(f"{entry} is no {key.kind}")

    def made_of(self, key: Key) -> Expanded:
        """What an endpoint or resolver makes."""
        return self._made.get(key, NOTHING)

    def owners(self, key: Key) -> Collection[Key]:
        """The endpoints and resolvers that a key is there for, where it is in the table only for them."""
        if key in self._owners:
            return (self._owners[key],)
        return self._tenants.get(key.id, {}).keys() if key.kind is Kind.ATTACHMENT else ()

    def added(self) -> Iterator[Key]:
        """The keys that are in the table only for others."""
        yield from self._owners
        yield from (Key(Kind.ATTACHMENT, annex) for annex in self._tenants)

    def proxied(self, vpc: str) -> frozenset[Proxied]:
        """What the proxy in a VPC's annex has to do."""
        made = (self._made[key].proxied for key in self._tenants.get(annex_id(vpc), ()))
        return frozenset(each for each in made if each is not None)

    def take_changed(self) -> Collection[str]:
        """The VPCs of which `proxied` may be another since the last call."""
        changed, self._changed = self._changed, {}
        return changed.keys()

    def _give_service(self, key: Key, service: Service | None) -> dict[Key, Entry | None]:
        self._services.pop(key.id, None)
        if service is not None:
            self._services[key.id] = service
        wishes: dict[Key, Entry | None] = {}
        for user in tuple(self._users.get(key.id, ())):
            wishes.update(self._make(user, expanded(self._endpoints[user], service)))
        return wishes

    def _give_endpoint(self, key: Key, endpoint: Endpoint | None) -> dict[Key, Entry | None]:
        if (before := self._endpoints.pop(key, None)) is not None:
            _drop(self._users, before.service, key)
        if endpoint is None:
            return {**self._make(key, NOTHING), key: None}
        self._endpoints[key] = endpoint
        self._users.setdefault(endpoint.service, {})[key] = None
        return self._make(key, expanded(endpoint, self._services.get(endpoint.service)))

    def _make(self, owner: Key, made: Expanded) -> dict[Key, Entry | None]:
        before = self._made.pop(owner, NOTHING)
        if before == made:
            return self._wishes(owner, made)
        wishes: dict[Key, Entry | None] = {entry.key: None for entry in before.entries}
        for key in wishes:
            self._owners.pop(key, None)
        if before.vpc != made.vpc and before.vpc:
            annex = annex_id(before.vpc)
            _drop(self._tenants, annex, owner)
            if annex not in self._tenants:
                wishes[Key(Kind.ATTACHMENT, annex)] = None
        self._changed.update({each.proxied.vpc: None for each in (before, made) if each.proxied})
        return {**wishes, **self._wishes(owner, made)}

    def _wishes(self, owner: Key, made: Expanded) -> dict[Key, Entry | None]:
        if not made.entries:
            return {}
        self._made[owner] = made
        wishes: dict[Key, Entry | None] = {entry.key: entry for entry in made.entries}
        self._owners.update({key: owner for key in wishes if key != owner})
        if (annex := made.annex()) is not None:
            self._tenants.setdefault(annex.vpc, {})[owner] = None
            wishes[annex.key] = annex
        return wishes


def _drop(sets: dict[str, dict[Key, None]], name: str, key: Key) -> None:
    sets.get(name, {}).pop(key, None)
    if not sets.get(name):
        sets.pop(name, None)
