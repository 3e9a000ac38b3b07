"""What the maps hold, read from the kernel alone: the table with its numbers, and what an interrupted change left."""

import gc
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from itertools import chain

from services.gateway_agent.dataplane.endpoint_lists import listed, range_keys
from services.gateway_agent.dataplane.endpoint_sources import owns_sources
from services.gateway_agent.dataplane.libbpf import Map
from services.gateway_agent.dataplane.maps import (
    BACKEND_KEY,
    NUMBER,
    OWNER,
    OWNER_KEY,
    SOURCE_KEY,
    UNRESOLVED,
    VERSIONED_KEY,
    BackendValue,
    EndpointValue,
    Maps,
    ServiceRecord,
    SlotWord,
    endpoint_key,
    pack_address,
    read_allowed_key,
    read_endpoint_key,
    read_port,
    unpack_id,
)
from services.gateway_agent.dataplane.records import AttachmentRecord
from services.gateway_agent.dataplane.route_maps import read_routes
from services.gateway_agent.dataplane.settings_map import Settings
from services.gateway_agent.dataplane.shares import fits
from services.gateway_agent.table import (
    Address,
    Attachment,
    Backend,
    Endpoint,
    Entry,
    Key,
    Kind,
    Network,
    PortMapping,
    Service,
    everybody,
)

Item = tuple[bytes, bytes]
Versioned = tuple[int, int]  # a service or slot, and the version of its lists

SHARES_AT_ONCE = 64  # tables of 4 KB, of which there may be very many


@dataclass(slots=True)
class Contents:
    """Every entry that is whole, the number (of VPC or service) or slot it has, and keys that belong to none."""

    entries: dict[Key, Entry] = field(default_factory=dict)
    numbers: dict[Key, int] = field(default_factory=dict)
    macs: dict[tuple[int, Address], bytes] = field(default_factory=dict)
    leftovers: list[tuple[Map, bytes]] = field(default_factory=list)

    def add(self, entry: Entry, number: int) -> None:
        self.entries[entry.key] = entry
        self.numbers[entry.key] = number


def read_contents(maps: Maps) -> Contents:
    contents = Contents()
    with _uncollected():
        vpcs = _read_attachments(maps, contents)
        services = _read_services(maps, contents)
        _read_endpoints(maps, contents, vpcs, services)
    return contents


@contextmanager
def _uncollected() -> Iterator[None]:
    """Hundreds of thousands of objects that all stay: looking for garbage among them takes a third of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _read_attachments(maps: Maps, contents: Contents) -> Mapping[int, str]:
    """The VPC of every number."""
    vpcs = {}
    for key, value in maps.attachments.items():
        record, vpc = AttachmentRecord.unpack(value), unpack_id(key)
        vpcs[record.vpc] = vpc
        contents.add(Attachment(vpc, record.target), record.vpc)
    return vpcs


def _read_services(maps: Maps, contents: Contents) -> Mapping[int, str]:
    """The service of every number."""
    records = {unpack_id(key): ServiceRecord.unpack(value) for key, value in maps.service_names.items()}
    current = {record.service: (record.service, maps.services[record.service].low) for record in records.values()}
    ports = _lists(maps.ports, 0, set(current.values()), contents)
    backends = _lists(maps.backends, 0, set(current.values()), contents)
    settings = _lists(maps.settings, 0, set(current.values()), contents)
    _drop_unshared(maps, backends, contents)
    for service, record in records.items():
        lists = current[record.service]
        entry = Service(service, record.vpc_id, (), ())
        if settings[lists]:
            ((_, value),) = settings[lists]
            entry = replace(
                Settings.unpack(value).given_to(entry),
                ports=_ports(ports[lists]),
                backends=_backends(backends[lists], contents),
            )
        else:  # without settings it forwards nothing
            contents.leftovers += [(maps.ports, key) for key, _ in ports[lists]]
            contents.leftovers += [(maps.backends, key) for key, _ in backends[lists]]
        contents.add(entry, record.service)
    return {record.service: service for service, record in records.items()}


def _read_endpoints(maps: Maps, contents: Contents, vpcs: Mapping[int, str], services: Mapping[int, str]) -> None:
    """An endpoint whose epoch is not its slot's forwards nothing: it was about to come, or to go."""
    whole, slots = [], {}
    for key, value in maps.endpoints.items():
        vpc, address = read_endpoint_key(key)
        endpoint = EndpointValue.unpack(value)
        slot = SlotWord.unpack(maps.slots[endpoint.slot])
        if endpoint.epoch == slot.epoch and vpc in vpcs and endpoint.service in services:
            whole.append((key, vpc, address, endpoint))
            slots[endpoint.slot] = slot
        else:
            contents.leftovers.append((maps.endpoints, key))
    current = {number: (number, slot.allow_version) for number, slot in slots.items()}
    allowed = _lists(maps.allowed, NUMBER.size, set(current.values()), contents)
    rules = _lists(maps.rules, NUMBER.size, set(current.values()), contents)
    rule_ports = _lists(maps.rule_ports, 0, set(current.values()), contents)
    more = _read_sources(maps, slots, contents)
    for key, vpc, address, endpoint in whole:
        slot, lists, proxy = slots[endpoint.slot], current[endpoint.slot], maps.proxies[endpoint.slot].low
        networks, routes = _networks(allowed[lists]), read_routes(rules[lists], rule_ports[lists])
        lets_all_in = networks == everybody(address.version)
        listed = routes is not None and (slot.everybody, slot.routed) == (lets_all_in, bool(routes))
        if routes is None or not listed or (proxy and proxy not in services):
            contents.leftovers.append((maps.endpoints, key))
            continue
        entry = Endpoint(
            id=endpoint.id,
            marker=endpoint.marker,
            vpc=vpcs[vpc],
            address=address,
            service=services[endpoint.service],
            source_address=endpoint.source_address,
            admission=endpoint.admission,
            allowed=networks,
            draining_until=maps.drains[endpoint.slot].number if slot.draining else 0,
            more_sources=more[endpoint.slot],
            routes=routes,
            proxy=services[proxy] if proxy else "",
        )
        contents.add(entry, endpoint.slot)
    _read_owners(maps, contents)
    _read_ranges(maps, contents)


def _read_sources(maps: Maps, slots: Container[int], contents: Contents) -> Mapping[int, tuple[IPv4Address, ...]]:
    """The further sources of every slot, as many as it says that it has."""
    found: defaultdict[int, dict[int, IPv4Address]] = defaultdict(dict)
    for key, value in maps.more_sources.items():
        slot, index = SOURCE_KEY.unpack(key)
        if slot in slots and index <= maps.source_counts[slot].low:
            found[slot][index] = IPv4Address(value)
        else:
            contents.leftovers.append((maps.more_sources, key))
    ordered = {slot: tuple(by_index[index] for index in sorted(by_index)) for slot, by_index in found.items()}
    return defaultdict(tuple, ordered)


def _read_owners(maps: Maps, contents: Contents) -> None:
    """An endpoint that does not own its sources is not whole: answers to it would not find the gateway."""
    owners = {OWNER_KEY.unpack(key): OWNER.unpack(value)[0] for key, value in maps.source_owners.items()}
    for entry in [each for each in contents.entries.values() if isinstance(each, Endpoint) and owns_sources(each)]:
        slot = contents.numbers[entry.key]
        service = contents.entries[Key(Kind.SERVICE, entry.service)]
        vpc = contents.numbers.get(Key(Kind.ATTACHMENT, service.vpc), 0) if isinstance(service, Service) else 0
        keys = [(vpc, source.packed) for source in (entry.source_address, *entry.more_sources)]
        if all(owners.get(key) == slot for key in keys):
            for key in keys:
                del owners[key]
        else:
            _drop(maps, contents, entry)
    contents.leftovers += [(maps.source_owners, OWNER_KEY.pack(*key)) for key in owners]


def _read_ranges(maps: Maps, contents: Contents) -> None:
    """An endpoint is whole only if all its routes lead to it."""
    ranges = dict(maps.routes.items())
    routed = (entry for entry in contents.entries.values() if isinstance(entry, Endpoint) and entry.routes)
    for entry in tuple(routed):
        keys = range_keys(contents.numbers[Key(Kind.ATTACHMENT, entry.vpc)], entry)
        if all(ranges.get(key) == pack_address(entry.address) for key in keys):
            for key in keys:
                del ranges[key]
        else:
            _drop(maps, contents, entry)
    contents.leftovers += [(maps.routes, key) for key in ranges]


def _drop(maps: Maps, contents: Contents, entry: Endpoint) -> None:
    """First the element, with which it is cut; then its lists."""
    number, slot = contents.numbers[Key(Kind.ATTACHMENT, entry.vpc)], contents.numbers[entry.key]
    version = SlotWord.unpack(maps.slots[slot]).allow_version
    contents.leftovers += [(maps.endpoints, endpoint_key(number, entry.address)), *listed(maps, slot, version, entry)]
    del contents.entries[entry.key], contents.numbers[entry.key]


def _lists(
    source: Map, offset: int, current: Container[Versioned], contents: Contents
) -> defaultdict[Versioned, list[Item]]:
    """The map's items by what they belong to, if that version is current; the others are leftovers."""
    lists: defaultdict[Versioned, list[Item]] = defaultdict(list)
    for key, value in source.items():
        belongs_to = VERSIONED_KEY.unpack_from(key, offset)
        if belongs_to in current:
            lists[belongs_to].append((key, value))
        else:
            contents.leftovers.append((source, key))
    return lists


def _ports(items: list[Item]) -> tuple[PortMapping, ...]:
    return tuple(mapping for _, mapping in sorted(read_port(key, value) for key, value in items))


def _backends(items: list[Item], contents: Contents) -> tuple[Backend, ...]:
    values = [BackendValue.unpack(value) for _, value in items]
    contents.macs.update(
        {(value.vpc, value.configured.address): value.mac for value in values if value.mac != UNRESOLVED}
    )
    return tuple(value.configured for value in sorted(values, key=lambda value: value.place))


def _drop_unshared(maps: Maps, backends: dict[Versioned, list[Item]], contents: Contents) -> None:
    """Where several backends take sessions and their shares are not there, none of them is of use: so that the service
    is put again, it reads as one without backends.
    """
    takers = {lists: _takers(items) for lists, items in backends.items()}
    shared = {lists for lists, found in takers.items() if len(found) <= 1}
    for key, value in chain.from_iterable(maps.shares.batches(SHARES_AT_ONCE)):
        lists = VERSIONED_KEY.unpack(key)
        found = takers.get(lists, ())
        if len(found) > 1 and fits(value, found):
            shared.add(lists)
        else:
            contents.leftovers.append((maps.shares, key))
    for lists in takers.keys() - shared:
        contents.leftovers += [(maps.backends, key) for key, _ in backends.pop(lists)]


def _takers(items: list[Item]) -> Sequence[Backend]:
    """The backends that take new sessions, as `shares` numbers them."""
    values = sorted((BACKEND_KEY.unpack(key)[2], BackendValue.unpack(value)) for key, value in items)
    return [value.configured for _, value in values if value.takes_sessions]


def _networks(items: list[Item]) -> tuple[Network, ...]:
    if len(items) == 1:
        return (read_allowed_key(items[0][0]),)
    placed = [(NUMBER.unpack(value)[0], read_allowed_key(key)) for key, value in items]
    return tuple(network for _, network in sorted(placed, key=lambda each: each[0]))
