"""The forwarding table in the kernel's maps: each change as writes of which every prefix is safe."""

import time
from collections.abc import Callable, Container, Iterable
from dataclasses import replace

from services.gateway_agent.dataplane.contents import read_contents
from services.gateway_agent.dataplane.endpoint_lists import EndpointLists
from services.gateway_agent.dataplane.endpoint_sources import NOBODY, EndpointSources, owner_keys, owns_sources
from services.gateway_agent.dataplane.entries import Entries
from services.gateway_agent.dataplane.local_numbers import Numbers
from services.gateway_agent.dataplane.maps import (
    BACKEND_KEY,
    NO_DEVICE,
    NUMBER,
    UNRESOLVED,
    VERSIONED_KEY,
    BackendValue,
    Counter,
    EndpointValue,
    Maps,
    ServiceRecord,
    ServiceWord,
    SlotWord,
    VpcDevice,
    endpoint_key,
    pack_id,
    port_key,
    port_value,
)
from services.gateway_agent.dataplane.memory import Pair
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.dataplane.records import AttachmentRecord
from services.gateway_agent.dataplane.session_maps import REFUSAL_KEY
from services.gateway_agent.dataplane.settings_map import Settings
from services.gateway_agent.dataplane.shares import shares
from services.gateway_agent.table import Address, Attachment, Endpoint, ForwardingTable, Key, Kind, Service, everybody

Resolve = Callable[[int, Address], bytes | None]
NOTHING = 0  # no VPC


class KernelTable:
    """Edits the maps. Its memory is an index of the kernel's; after a failed write it is read again."""

    def __init__(self, maps: Maps) -> None:
        self._maps, self._lists = maps, EndpointLists(maps)
        self.reload()

    def reload(self) -> None:
        """Reads the index from the kernel, and takes away what an interrupted change has left there."""
        contents = read_contents(self._maps)
        for source, key in contents.leftovers:
            if source is self._maps.endpoints:
                self._cut_leftover(source.get(key) or b"")
            source.delete(key)
        self.entries = Entries()
        for entry in contents.entries.values():  # what an entry needs was read before it
            self.entries.put(entry)
        self.macs = contents.macs
        self._numbers = contents.numbers
        endpoints = self.entries.endpoints()
        owned = {endpoint.key: owner_keys(self._backends_vpc(endpoint), endpoint) for endpoint in endpoints}
        self._sources = EndpointSources(self._maps, owned)
        self._drop_refusals({self._numbers[endpoint.key] for endpoint in endpoints})
        self._vpcs = Numbers("VPCs", self._maps.vpcs.max_entries, self._used(Kind.ATTACHMENT))
        self._services = Numbers("services", self._maps.service_names.max_entries, self._used(Kind.SERVICE))
        self._slots = Numbers("endpoints", self._maps.endpoints.max_entries, self._used(Kind.ENDPOINT))

    def _drop_refusals(self, slots: Container[int]) -> None:
        """What was refused for slots that nobody has."""
        for key, _ in list(self._maps.refusals.items()):
            if REFUSAL_KEY.unpack(key)[0] not in slots:
                self._maps.refusals.delete(key)

    def _cut_leftover(self, data: bytes) -> None:
        """One that others have robbed of its VPC or service may have its epoch still."""
        endpoint = EndpointValue.unpack(data)
        word = self._slot(endpoint.slot)
        if word.epoch == endpoint.epoch:
            self._maps.slots[endpoint.slot] = replace(word, epoch=word.next_epoch).pack()

    def read(self) -> tuple[ForwardingTable, bool]:
        """What the kernel has, and whether it is what was put there."""
        found = ForwardingTable(read_contents(self._maps).entries)
        return found, found == self.entries.table()

    def _used(self, kind: Kind) -> Iterable[int]:
        return [number for key, number in self._numbers.items() if key.kind is kind]

    # ---- attachments

    def vpc_number(self, vpc: str) -> int:
        return self._numbers[Key(Kind.ATTACHMENT, vpc)]

    def device(self, vpc: int) -> VpcDevice:
        value = self._maps.vpcs.get(NUMBER.pack(vpc))
        return VpcDevice.unpack(value) if value else NO_DEVICE

    def put_attachment(self, attachment: Attachment, device: VpcDevice) -> None:
        """Raises NotReady for a device whose number the program has no room for."""
        most = self._maps.devices.max_entries - 1
        if device.ifindex > most:
            raise NotReady(f"device {device.ifindex} has a number above {most}: make it anew")
        number = self._numbers.get(attachment.key) or self._vpcs.take()
        self.put_device(number, device)
        record = AttachmentRecord(number, attachment.target)
        self._maps.attachments.put(pack_id(attachment.vpc), record.pack())
        self._remember(attachment, number)

    def put_device(self, number: int, device: VpcDevice) -> None:
        """The program compares both directions, so while they differ nothing passes."""
        before = self.device(number)
        self._maps.vpcs.put(NUMBER.pack(number), device.pack())
        if before.ifindex and before.ifindex != device.ifindex:
            self._maps.devices.put(NUMBER.pack(before.ifindex), NUMBER.pack(NOTHING))
        if device.ifindex:
            self._maps.devices.put(NUMBER.pack(device.ifindex), NUMBER.pack(number))

    def remove_attachment(self, vpc: str) -> None:
        """The device is gone before: its record is what says that it is to be removed."""
        key = Key(Kind.ATTACHMENT, vpc)
        self.put_device(self._numbers[key], NO_DEVICE)
        self._maps.attachments.delete(pack_id(vpc))
        self._vpcs.give_back(self._forget(key))

    # ---- services

    def put_service(self, service: Service, resolve: Resolve) -> None:
        """Writes lists and settings under a new version, and then turns to it with one store."""
        known = self.entries.service(service.id)
        vpc = self.vpc_number(service.vpc)
        number = self._numbers.get(service.key) or self._services.take()
        if known is None or known.vpc != service.vpc:
            self._maps.service_names.put(pack_id(service.id), ServiceRecord(number, service.vpc).pack())
        before = ServiceWord.unpack(self._maps.services[number])
        version = before.next_version
        for place, mapping in enumerate(service.ports):
            self._maps.ports.put(port_key(number, version, mapping), port_value(mapping, place))
        values = [
            BackendValue(backend, vpc, resolve(vpc, backend.address) or UNRESOLVED, place)
            for place, backend in enumerate(service.backends)
        ]
        takers = self._write_backends(number, version, values)
        self._maps.settings.put(VERSIONED_KEY.pack(number, version), Settings.of(service).pack())
        metered = service.limits.bits_per_second > 0
        self._maps.services[number] = ServiceWord(version, takers, metered).pack()
        self._delete_lists(number, before.version, known)
        self._remember(service, number)
        if known is not None and known.vpc != service.vpc:
            self._cut_users(service.key)

    def _write_backends(self, number: int, version: int, values: list[BackendValue]) -> int:
        """Answers how many of them take new sessions; they come first, as `shares` numbers them."""
        values.sort(key=lambda value: (not value.takes_sessions, value.configured.address.packed))
        for index, value in enumerate(values):
            self._maps.backends.put(BACKEND_KEY.pack(number, version, index), value.pack())
        takers = tuple(value.configured for value in values if value.takes_sessions)
        if len(takers) > 1:
            self._maps.shares.put(VERSIONED_KEY.pack(number, version), shares(takers))
        return len(takers)

    def remove_service(self, service: str) -> None:
        key = Key(Kind.SERVICE, service)
        known, number = self.entries.service(service), self._numbers[key]
        word = ServiceWord.unpack(self._maps.services[number])
        self._maps.services[number] = ServiceWord(word.next_version, 0).pack()
        self._delete_lists(number, word.version, known)
        self._maps.service_names.delete(pack_id(service))
        self._services.give_back(self._forget(key))

    def _delete_lists(self, number: int, version: int, known: Service | None) -> None:
        if known is None:
            return
        self._maps.settings.delete(VERSIONED_KEY.pack(number, version))
        for mapping in known.ports:
            self._maps.ports.delete(port_key(number, version, mapping))
        for index in range(len(known.backends)):
            self._maps.backends.delete(BACKEND_KEY.pack(number, version, index))
        if len(known.backends) > 1:
            self._maps.shares.delete(VERSIONED_KEY.pack(number, version))

    # ---- endpoints

    def put_endpoint(self, endpoint: Endpoint) -> None:
        known = self.entries.endpoint(endpoint.id)
        if known == endpoint:
            return
        if known is None or not _cuts_nothing(known, endpoint):
            self._write_endpoint(endpoint, known)
        else:
            slot = self._numbers[endpoint.key]
            if known.proxy != endpoint.proxy and replace(known, proxy=endpoint.proxy) != endpoint:
                self._sources.lead(slot, NOBODY)  # meanwhile: what only one of the two tables says must not mix
            self._turn(slot, self._slot(slot).epoch, endpoint, known)
            self._write_sources(slot, endpoint)  # last: with them, what the old whitelist lets in is of neither table
            if known.proxy != endpoint.proxy:
                self._sources.lead(slot, self._proxy(endpoint))
        self._remember(endpoint, self._numbers[endpoint.key])

    def remove_endpoint(self, endpoint: str) -> None:
        """The epoch first: once the entry is gone nothing would tell that sessions are still to be cut."""
        known = self.entries.endpoint(endpoint)
        if known is None:
            return
        slot = self._cut(known)
        vpc = self.vpc_number(known.vpc)
        self._sources.delete(slot, known)
        self._lists.forget((vpc, known))
        self._maps.endpoints.delete(endpoint_key(vpc, known.address))
        self._lists.delete(slot, self._slot(slot).allow_version, known)
        self._slots.rest(self._forget(known.key))

    def _write_endpoint(self, endpoint: Endpoint, known: Endpoint | None) -> None:
        """Cuts what there was. The new entry is there whole before its epoch is the slot's: see copy_endpoint()."""
        if known is None:
            if self._slots.only_resting:
                self.wake_slots()
            self._numbers[endpoint.key] = self._slots.take()
        slot = self._cut(endpoint)
        if known is None:
            self._maps.traffic.put(NUMBER.pack(slot), bytes(self._maps.traffic.value_size))
            self._maps.usage.put(NUMBER.pack(slot), bytes(self._maps.usage.value_size))
        else:
            self._sources.delete(slot, known)
        vpc = self.vpc_number(endpoint.vpc)
        if known is not None and (known.vpc, known.address) != (endpoint.vpc, endpoint.address):
            self._maps.endpoints.delete(endpoint_key(self.vpc_number(known.vpc), known.address))
        epoch = self._slot(slot).next_epoch
        value = EndpointValue(
            slot=slot,
            epoch=epoch,
            service=self._numbers[Key(Kind.SERVICE, endpoint.service)],
            source_address=endpoint.source_address,
            marker=endpoint.marker,
            admission=endpoint.admission,
            id=endpoint.id,
        )
        self._maps.endpoints.put(endpoint_key(vpc, endpoint.address), value.pack())
        self._write_sources(slot, endpoint)
        self._sources.lead(slot, self._proxy(endpoint))
        self._turn(slot, epoch, endpoint, known)

    def _write_sources(self, slot: int, endpoint: Endpoint) -> None:
        service = self._numbers[Key(Kind.SERVICE, endpoint.service)]
        self._sources.write(slot, service, self._backends_vpc(endpoint), endpoint)

    def _backends_vpc(self, endpoint: Endpoint) -> int:
        service = self.entries.service(endpoint.service)
        return self.vpc_number(service.vpc) if service else 0

    def _proxy(self, endpoint: Endpoint) -> int:
        return self._numbers[Key(Kind.SERVICE, endpoint.proxy)] if endpoint.proxy else NOBODY

    def slots(self) -> dict[str, int]:
        """The slot of every endpoint."""
        return {key.id: number for key, number in list(self._numbers.items()) if key.kind is Kind.ENDPOINT}

    def slot(self, endpoint: str) -> int:
        """Of an endpoint in the table."""
        return self._numbers[Key(Kind.ENDPOINT, endpoint)]

    def epoch(self, slot: int) -> int:
        return self._slot(slot).epoch

    def wake_slots(self) -> None:
        """What slots that were given back had refused is forgotten, and they may be taken again.

        After a sweep, or where there are no others.
        """
        for slot in self._slots.wake():
            for reason in range(len(Counter)):
                self._maps.refusals.delete(REFUSAL_KEY.pack(slot, reason))

    def _cut(self, endpoint: Endpoint) -> int:
        """No session of the slot passes another packet, and none begins before an entry with the new epoch."""
        slot = self._numbers[endpoint.key]
        word = self._slot(slot)
        self._maps.slots[slot] = replace(word, epoch=word.next_epoch).pack()
        return slot

    def _slot(self, slot: int) -> SlotWord:
        return SlotWord.unpack(self._maps.slots[slot])

    def _cut_users(self, key: Key) -> None:
        for user in self.entries.users(key):
            if isinstance(user, Endpoint):
                self._write_endpoint(user, user)

    def _turn(self, slot: int, epoch: int, endpoint: Endpoint, known: Endpoint | None) -> None:
        """Turns the slot to the endpoint's epoch, lists and drain with one store, when all of them are there."""
        word, now = self._slot(slot), (self.vpc_number(endpoint.vpc), endpoint)
        before = None if known is None else (self.vpc_number(known.vpc), known)
        version = word.allow_version
        if known is None or (known.allowed, known.routes) != (endpoint.allowed, endpoint.routes):
            version = word.next_version
            self._lists.write(slot, version, endpoint)
        self._lists.lead(before, now)
        if endpoint.draining_until and (known is None or known.draining_until != endpoint.draining_until):
            self._write_drain(slot, endpoint.draining_until)
        flags = endpoint.draining_until > 0, _lets_all_in(endpoint), bool(endpoint.routes)
        self._maps.slots[slot] = SlotWord(epoch, version, *flags).pack()
        if before is not None:
            self._lists.forget(before, now)
        if known is not None and version != word.allow_version:
            self._lists.delete(slot, word.allow_version, known)

    def _write_drain(self, slot: int, until: int) -> None:
        """The deadline first: what was told tells the next agent that the deadline is there."""
        left = max(0, until - time.time_ns())
        self._maps.deadlines[slot] = Pair.of(time.clock_gettime_ns(time.CLOCK_BOOTTIME) + left)
        self._maps.drains[slot] = Pair.of(until)

    # ---- the index

    def _remember(self, entry: Attachment | Service | Endpoint, number: int) -> None:
        self.entries.put(entry)
        self._numbers[entry.key] = number

    def _forget(self, key: Key) -> int:
        self.entries.remove(key)
        return self._numbers.pop(key)


def _cuts_nothing(known: Endpoint, wanted: Endpoint) -> bool:
    """Whether they differ in no more than lists, drain, proxy, and sources that have come on top."""
    more = wanted.more_sources[: len(known.more_sources)] == known.more_sources
    same_owner = owns_sources(known) == owns_sources(wanted)
    lists = replace(wanted, allowed=known.allowed, routes=known.routes, more_sources=known.more_sources)
    return more and same_owner and known == replace(lists, draining_until=known.draining_until, proxy=known.proxy)


def _lets_all_in(endpoint: Endpoint) -> bool:
    return endpoint.allowed == everybody(endpoint.address.version)
