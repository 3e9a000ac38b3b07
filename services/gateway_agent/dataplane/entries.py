"""The entries of a table while it is changed: who needs whom, and what no data plane accepts."""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import astuple
from uuid import UUID

from services.common.addressing import is_one_family
from services.gateway_agent.dataplane.endpoint_sources import NO_SOURCE
from services.gateway_agent.dataplane.port import DataplaneError, NotReady
from services.gateway_agent.dataplane.possible_targets import check_target
from services.gateway_agent.dataplane.settings_map import LONGEST_PATH
from services.gateway_agent.routes import ranges
from services.gateway_agent.table import (
    Address,
    Attachment,
    Backend,
    ClientIdentity,
    Endpoint,
    Entry,
    ForwardingTable,
    HealthCheck,
    Key,
    Kind,
    Network,
    PortMapping,
    Protocol,
    Service,
)

MOST_LISTED = 1000  # ports of a service
MOST_ALLOWED = 10_000  # networks of a whitelist: a trie finds one of them as fast as one of ten
MOST_ROUTES = 1000  # of an endpoint
MOST_BACKENDS = 64  # of a service: a byte numbers them, and each must have a share that can be told
MOST_WEIGHT = 100
PATH = re.compile(r"/[!-~]*")
IPV4 = 4


class Entries:
    """A table that refuses what would leave an entry without what it needs."""

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._users: defaultdict[Key, set[Key]] = defaultdict(set)
        self._holders: dict[tuple[str, Address], str] = {}
        self._ranges: defaultdict[str, dict[str, tuple[Network, ...]]] = defaultdict(dict)  # by VPC and endpoint

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def table(self) -> ForwardingTable:
        return ForwardingTable(dict(self._entries))

    def attachments(self) -> list[Attachment]:
        return [entry for entry in self if isinstance(entry, Attachment)]

    def services(self) -> list[Service]:
        return [entry for entry in self if isinstance(entry, Service)]

    def endpoints(self) -> list[Endpoint]:
        return [entry for entry in self if isinstance(entry, Endpoint)]

    def attachment(self, vpc: str) -> Attachment | None:
        entry = self._entries.get(Key(Kind.ATTACHMENT, vpc))
        return entry if isinstance(entry, Attachment) else None

    def service(self, service: str) -> Service | None:
        entry = self._entries.get(Key(Kind.SERVICE, service))
        return entry if isinstance(entry, Service) else None

    def endpoint(self, endpoint: str) -> Endpoint | None:
        entry = self._entries.get(Key(Kind.ENDPOINT, endpoint))
        return entry if isinstance(entry, Endpoint) else None

    def endpoint_at(self, vpc: str, address: Address) -> Endpoint | None:
        holder = self._holders.get((vpc, address))
        return self.endpoint(holder) if holder else None

    def endpoint_for(self, vpc: str, address: Address) -> Endpoint | None:
        """The endpoint at the address, or the one that a route leads to, denied or not."""
        exact = self.endpoint_at(vpc, address)
        if exact is not None:
            return exact
        leading = (id_ for id_, of in self._ranges[vpc].items() if any(address in each for each in of))
        return self.endpoint(next(leading, ""))

    def routed(self, vpc: str) -> list[Endpoint]:
        """The endpoints of a VPC that are reached by routes."""
        return [endpoint for id_ in self._ranges[vpc] if (endpoint := self.endpoint(id_))]

    def any_user(self, key: Key, wanted: Key | None = None) -> Entry | None:
        """The user that is wanted, if it is one, or else the first by id."""
        users = self._users.get(key, set())
        chosen = wanted if wanted in users else min(users, default=None)
        return self._entries[chosen] if chosen else None

    def users(self, key: Key) -> Sequence[Entry]:
        return [self._entries[user] for user in sorted(self._users.get(key, ()))]

    def check_put(self, entry: Entry) -> None:
        """Raises DataplaneError, or NotReady if another endpoint still has the address."""
        check_entry(entry)
        for need in sorted(entry.needs):
            if need not in self._entries:
                raise DataplaneError(f"{entry.key.kind} {entry.key.id} needs {need.kind} {need.id}: put that first")
        self._check_family(entry)
        self._check_sources(entry)
        if isinstance(entry, Endpoint):
            holder = self.endpoint_at(entry.vpc, entry.address)
            if holder and holder.id != entry.id:
                raise NotReady(f"{entry.address} in VPC {entry.vpc} is still the address of endpoint {holder.id}")
            self._check_ranges(entry)

    def _check_ranges(self, entry: Endpoint) -> None:
        """Raises NotReady if another endpoint of the VPC still has a route to any of its addresses."""
        for wanted in ranges(entry.routes):
            for id_, held in self._ranges[entry.vpc].items():
                for each in held:
                    if id_ != entry.id and each.overlaps(wanted):
                        raise NotReady(f"{wanted} in VPC {entry.vpc} overlaps {each}, still a route of endpoint {id_}")

    def _check_family(self, entry: Entry) -> None:
        """A service and its endpoints are of one IP version: nothing translates between the two. One of each is looked
        at, for the others are as it is.
        """
        match entry:
            case Service(backends=(first, *_)):
                user = next(iter(self._users.get(entry.key, ())), None)
                endpoint = self.endpoint(user.id) if user else None
                if endpoint and endpoint.address.version != first.address.version:
                    raise DataplaneError(f"service {entry.id} has endpoints of the other IP version than its backends")
            case Endpoint(address=address):
                for service in (self.service(entry.service), self.service(entry.proxy)):
                    if service and any(each.address.version != address.version for each in service.backends[:1]):
                        raise DataplaneError(f"{address} leads to service {service.id} of the other IP version")

    def _check_sources(self, entry: Entry) -> None:
        """Backends see the client's own address, or one that the endpoint has."""
        match entry:
            case Service(keeps_source=False):
                known = self.service(entry.id)
                if known and known.keeps_source and self._users.get(entry.key):
                    raise DataplaneError(f"service {entry.id} keeps the source for its endpoints: remove them first")
            case Endpoint(source_address=source):
                service = self.service(entry.service)
                if source == NO_SOURCE and service and not service.keeps_source:
                    raise DataplaneError(
                        f"endpoint {entry.id} needs a source address: its service does not keep clients'"
                    )

    def check_remove(self, key: Key) -> None:
        users = self._users.get(key)
        if users:
            user = min(users)
            raise DataplaneError(f"{key.kind} {key.id} is needed by {user.kind} {user.id}: remove that first")

    def put(self, entry: Entry) -> None:
        self.remove(entry.key)
        self._entries[entry.key] = entry
        for need in entry.needs:
            self._users[need].add(entry.key)
        if isinstance(entry, Endpoint):
            self._holders[entry.vpc, entry.address] = entry.id
            if entry.routes:
                self._ranges[entry.vpc][entry.id] = ranges(entry.routes)

    def remove(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        for need in entry.needs:
            self._users[need].discard(key)
            if not self._users[need]:
                del self._users[need]
        if isinstance(entry, Endpoint):
            del self._holders[entry.vpc, entry.address]
            self._ranges[entry.vpc].pop(entry.id, None)


def check_entry(entry: Entry) -> None:
    """What a data plane cannot hold, whatever else is in its table."""
    match entry:
        case Attachment(_, target):
            check_target(target)
        case Service(_, _, ports, backends):
            _check_list("ports", ports, [(mapping.protocol, mapping.client_port) for mapping in ports])
            _check_list("backends", backends, [backend.address for backend in backends], MOST_BACKENDS)
            if not is_one_family(backend.address for backend in backends):
                raise DataplaneError(f"backends of service {entry.id} are of both IP versions")
            for mapping in ports:
                _check_ports(mapping)
            for backend in backends:
                _check_weight(backend)
            if min(astuple(entry.timeouts)) < 0 or max(astuple(entry.timeouts)) >= 1 << 31:
                raise DataplaneError(f"idle limits of service {entry.id} are outside 0 to 2^31-1 seconds")
            if min(astuple(entry.limits)) < 0 or max(astuple(entry.limits)) >= 1 << 64:
                raise DataplaneError(f"limits of service {entry.id} are outside 0 to 2^64-1")
            if entry.health_check:
                _check_health_check(entry.health_check, entry)
        case Endpoint():
            _check_list("allowed networks", entry.allowed, entry.allowed, MOST_ALLOWED)
            if not is_one_family(entry.allowed, (entry.address,)):
                raise DataplaneError(f"of the whitelist of {entry.address} not all is of its IP version")
            if not (0 <= entry.marker < 1 << 64 and 0 <= entry.admission < 1 << 64):
                raise DataplaneError("marker and admission must be between 0 and 2^64-1")
            if entry.routes:
                _check_routes(entry)


def _check_routes(entry: Endpoint) -> None:
    prefixes = [route.prefix for route in entry.routes]
    _check_list("routes", entry.routes, prefixes, MOST_ROUTES)
    if not is_one_family(prefixes, (entry.address,)):
        raise DataplaneError(f"of the routes of {entry.address} not all are of its IP version")
    if prefixes[0].network_address != entry.address:
        raise DataplaneError(f"{entry.address} is not the first address of the endpoint's first route {prefixes[0]}")
    for route in entry.routes:
        _check_list(f"ports of the route {route.prefix}", route.ports, route.ports)
        if any(not 0 < port < 1 << 16 for _, port in route.ports):
            raise DataplaneError(f"a port of the route {route.prefix} is outside 1 to 65535")


def check_ids(entry: Entry) -> None:
    """The kernel's maps hold ids as the 16 bytes of a UUID."""
    for text in {entry.key.id, *(need.id for need in entry.needs)}:
        _check_id(text)


def _check_id(text: str) -> None:
    try:
        if str(UUID(text)) == text:
            return
    except ValueError:
        pass
    raise DataplaneError(f"{text!r} is not a UUID in lower case with hyphens")


def _check_list(what: str, items: Sequence[object], names: Sequence[Hashable], most: int = MOST_LISTED) -> None:
    """No list is too long; what names its items occurs once."""
    if len(items) > most:
        raise DataplaneError(f"{len(items)} {what} are more than the {most} that fit")
    if len(set(names)) != len(names):
        raise DataplaneError(f"{what} hold one of them twice")


def _check_weight(backend: Backend) -> None:
    if not 0 < backend.weight <= MOST_WEIGHT:
        raise DataplaneError(f"backend {backend.address} has weight {backend.weight}, outside 1 to {MOST_WEIGHT}")


def _check_health_check(check: HealthCheck, service: Service) -> None:
    if service.keeps_source:
        raise DataplaneError(f"service {service.id} keeps the source: nobody's address can ask for its health")
    if not 0 < check.port < 1 << 16:
        raise DataplaneError(f"port {check.port} of a health check is outside 1 to 65535")
    if not PATH.fullmatch(check.path) or len(check.path) > LONGEST_PATH:
        raise DataplaneError(f"the path of a health check is no path of up to {LONGEST_PATH} visible ASCII characters")
    if not 0 <= check.statuses[0] <= check.statuses[1] < 1 << 16:
        raise DataplaneError("no status is in the range of a health check")
    if min(check.interval, check.timeout, check.healthy_after, check.unhealthy_after) <= 0:
        raise DataplaneError("times and thresholds of a health check must be above 0")
    if max(check.interval, check.timeout) >= 1 << 16 or max(check.healthy_after, check.unhealthy_after) >= 1 << 8:
        raise DataplaneError("times of a health check go to 65535 s, thresholds to 255")


def _check_ports(mapping: PortMapping) -> None:
    if not (0 < mapping.client_port < 1 << 16 and 0 < mapping.server_port < 1 << 16):
        raise DataplaneError(f"port mapping {mapping.client_port}:{mapping.server_port} is outside 1 to 65535")
    if mapping.identity is not ClientIdentity.NONE and mapping.protocol is not Protocol.TCP:
        raise DataplaneError(f"{mapping.protocol} port {mapping.client_port} cannot tell of clients: only TCP has room")
