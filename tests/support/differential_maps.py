"""The program in the kernel as the differential test sees it: what it counts, what sessions it has, what it answers.

All that the test knows of the layout of maps is here.
"""

from struct import Struct
from typing import NamedTuple

from services.gateway_agent.dataplane import session_maps
from services.gateway_agent.dataplane.libbpf import Map
from services.gateway_agent.dataplane.maps import (
    BACKEND_KEY,
    PROTOCOL_NUMBERS,
    PROTOCOLS,
    BackendValue,
    Counter,
    ServiceRecord,
    ServiceWord,
    pack_id,
)
from services.gateway_agent.dataplane.session_maps import SESSION, SessionValue
from services.gateway_agent.table import Address, Attachment, Key, Kind, Service
from tests.support.models.forwarding_packets import Tuple
from tests.support.models.forwarding_values import Device
from tests.support.worlds import KernelWorld

TOLD = (Counter.ARP_PASSED, Counter.ND_PASSED)


class Entry(NamedTuple):
    """One direction of a session."""

    becomes: Tuple
    next_hop: bytes
    confirmed: bool
    finished: bool
    reset: bool


class ProgramState:
    def __init__(self, world: KernelWorld) -> None:
        self._world = world
        self._kernel = world.dataplane._kernel
        self._maps = world.maps
        self._sessions6 = self._kernel._loaded.maps["sessions6"]
        self._per_cpu = Struct(f"<{self._maps.counters.cpus}Q")
        self._counts = self._read_counts()

    def keys(self, *kinds: Kind) -> list[Key]:
        """What is in the table, by kinds in this order."""
        return [entry.key for kind in kinds for entry in self._kernel.table.entries if entry.key.kind is kind]

    # ---- devices

    def number_of(self, vpc: str) -> int:
        return self._kernel.table.vpc_number(vpc)

    def device_of(self, vpc: str) -> Device:
        device = self._kernel.table.device(self.number_of(vpc))
        return Device(device.ifindex, device.mac, 0 if device.local_peer else device.mtu, device.mtu)

    def lose(self, attachment: Attachment) -> None:
        """As when its device was found to be of no use."""
        self._kernel.attachments._lose(attachment, "a test takes it away")

    def takers(self, service: Service) -> dict[Address, bytes]:
        """The MAC addresses of the backends that take new sessions."""
        record = ServiceRecord.unpack(self._maps.service_names.get(pack_id(service.id)) or b"")
        word = ServiceWord.unpack(self._maps.services[record.service])
        keys = (BACKEND_KEY.pack(record.service, word.version, index) for index in range(word.takers))
        values = (BackendValue.unpack(self._maps.backends.get(key) or b"") for key in keys)
        return {value.configured.address: value.mac for value in values}

    # ---- frames

    def try_frame(self, frame: bytes, ifindex: int) -> tuple[int, bytes]:
        return self._kernel._loaded.try_frame(frame, ifindex)

    def counted(self) -> list[Counter]:
        """What was counted since the last time, but for what neighbours tell: hosts do so at any time."""
        before, now = self._counts, self._read_counts()
        self._counts = now
        return sorted(
            counter
            for counter, was, is_ in zip(Counter, before, now, strict=True)
            for _ in range(is_ - was)
            if counter not in TOLD
        )

    def passed(self) -> int:
        """In how many frames neighbours have told of themselves since the maps were made."""
        counts = self._read_counts()
        return sum(counts[list(Counter).index(each)] for each in TOLD)

    def _read_counts(self) -> list[int]:
        """In the order of their numbers, over all CPUs."""
        return [sum(self._per_cpu.unpack(per_cpu)) for _, per_cpu in sorted(self._maps.counters.items())]

    # ---- sessions

    def sessions(self) -> dict[Tuple, Entry]:
        entries = {_tuple(key): SessionValue.unpack(value) for _, key, value in self._entries()}
        return {
            key: Entry(
                _turned(_tuple(each.other)), each.next_hop, *map(bool, (each.confirmed, each.finished, each.reset))
            )
            for key, each in entries.items()
            if any(each.key)
        }

    def chosen(self, client: Tuple) -> Tuple | None:
        """The tuple of the backend's packets in a client's session."""
        sessions = self._maps.sessions if client.source.version == 4 else self._sessions6
        value = sessions.get(_packed(client))
        return _tuple(SessionValue.unpack(value).other) if value else None

    def reserve(self, key: Tuple) -> None:
        """An entry of nobody."""
        self._maps.sessions.put(_packed(key), bytes(SESSION.size))

    def nobodys(self) -> set[Tuple]:
        return {_tuple(key) for key, value in self._maps.sessions.items() if not any(value)}

    def clear_sessions(self) -> None:
        for sessions, key, _ in self._entries():
            sessions.delete(key)

    def age(self, seconds: int) -> None:
        """As if all packets had come so much earlier."""
        for sessions, key, value in self._entries():
            entry = SessionValue.unpack(value)
            if any(entry.key):
                earlier = entry.last_seen - seconds & 0xFFFFFFFF
                sessions.put(key, entry._replace(last_seen=earlier, tick=0).pack())

    def _entries(self) -> list[tuple[Map, bytes, bytes]]:
        """Of both families, each with its map."""
        both = (self._maps.sessions, self._sessions6)
        return [(sessions, key, value) for sessions in both for key, value in list(sessions.items())]


def _packed(key: Tuple) -> bytes:
    return session_maps.Tuple(*key[:-1], PROTOCOLS[key.protocol]).pack()


def _tuple(key: bytes) -> Tuple:
    found = session_maps.Tuple.unpack(key)
    return Tuple(*found[:-1], PROTOCOL_NUMBERS[found.protocol])


def _turned(key: Tuple) -> Tuple:
    return Tuple(key.destination, key.source, key.destination_port, key.source_port, key.vpc, key.protocol)
