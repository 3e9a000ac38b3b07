"""The values of the table's maps as bytes: the same structs as in bpf/maps.h, field by field."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from struct import Struct
from typing import ClassVar, Self
from uuid import UUID

from services.gateway_agent.dataplane.libbpf import Map
from services.gateway_agent.dataplane.memory import Pair, Words
from services.gateway_agent.table import (
    Address,
    Backend,
    ClientIdentity,
    Network,
    PortMapping,
    Protocol,
)

NUMBER = Struct("<I")
COUNT = Struct("<Q")
ENDPOINT_KEY = Struct("<I16s")
ALLOWED_KEY = Struct("<III16s")
SOURCE_KEY = Struct("<II")
OWNER_KEY = Struct("<I4s")
OWNER = Struct("<II")  # slot and service
PORT_KEY = Struct("<IIH2s")
BACKEND_KEY = Struct("<III")
VERSIONED_KEY = Struct("<II")
LONGEST_MTU = (1 << 16) - 1  # no IPv4 packet is longer
ALLOWED_FIXED_BITS = 64  # slot and version, which always match whole
MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address as an IPv6 address, but for its end
MAPPED_BITS = 96

PROTOCOL_NUMBERS = {Protocol.TCP: socket.IPPROTO_TCP, Protocol.UDP: socket.IPPROTO_UDP}
PROTOCOLS = {number: protocol for protocol, number in PROTOCOL_NUMBERS.items()}


class Counter(StrEnum):
    """What became of packets: the names of bpf/counters.h in their order."""

    FORWARDED = auto()
    SESSION_NEW = auto()
    ARP_ANSWERED = auto()
    ARP_PASSED = auto()
    REFUSED_NOT_ATTACHED = auto()
    REFUSED_NOT_FOR_US = auto()
    REFUSED_ARP = auto()
    REFUSED_PROTOCOL = auto()
    REFUSED_MALFORMED = auto()
    REFUSED_OPTIONS = auto()
    REFUSED_FRAGMENT = auto()
    REFUSED_TTL = auto()
    REFUSED_NO_SESSION = auto()
    REFUSED_NO_ENDPOINT = auto()
    REFUSED_STALE_EPOCH = auto()
    REFUSED_NOT_ALLOWED = auto()
    REFUSED_NO_PORT = auto()
    REFUSED_NO_BACKEND = auto()
    REFUSED_NO_SOURCE_PORT = auto()
    REFUSED_TABLE_FULL = auto()
    REFUSED_NO_DEVICE = auto()
    REFUSED_TOO_LONG = auto()
    REFUSED_DRAINING = auto()
    REFUSED_SPOOFED = auto()
    REFUSED_LIMIT_CONNECTIONS = auto()
    REFUSED_LIMIT_NEW = auto()
    REFUSED_LIMIT_RATE = auto()
    REFUSED_ICMP = auto()
    RESET_SENT = auto()
    ICMP_SENT = auto()
    ICMP_FORWARDED = auto()
    FRAGMENT_FORWARDED = auto()
    ND_ANSWERED = auto()
    ND_PASSED = auto()
    FLOW_RECORD_LOST = auto()
    REFUSED_DENIED = auto()
    REFUSED_NO_PROXY = auto()
    TOA_ADDED = auto()
    TOA_LEFT_OUT = auto()


@dataclass(frozen=True, slots=True)
class VpcDevice:
    """The device that faces a VPC; interface index 0 stands for none. An `mtu` of 0 is not known."""

    ifindex: int
    local_peer: bool
    mac: bytes
    mtu: int = 0

    LAYOUT: ClassVar = Struct("<II6sH")

    def pack(self) -> bytes:
        return self.LAYOUT.pack(self.ifindex, self.local_peer, self.mac, min(self.mtu, LONGEST_MTU))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        ifindex, flags, mac, mtu = cls.LAYOUT.unpack(data)
        return cls(ifindex, bool(flags), mac, mtu)


NO_DEVICE = VpcDevice(0, False, bytes(6))


def pack_address(address: Address) -> bytes:
    return MAPPED + address.packed if isinstance(address, IPv4Address) else address.packed


def unpack_address(data: bytes) -> Address:
    return IPv4Address(data[len(MAPPED) :]) if data.startswith(MAPPED) else IPv6Address(data)


DRAINING = METERED = 1 << 31
EVERYBODY = 1 << 30
ROUTED = 1 << 29
_WORD = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class SlotWord:
    """What all sessions of an endpoint are measured by: one store changes it for every CPU."""

    epoch: int
    allow_version: int
    draining: bool = False
    everybody: bool = False  # the whitelist lets all in
    routed: bool = False  # rules say which addresses it is reached by

    def pack(self) -> Pair:
        flags = DRAINING * self.draining | EVERYBODY * self.everybody | ROUTED * self.routed
        return Pair(self.epoch, self.allow_version | flags)

    @classmethod
    def unpack(cls, word: Pair) -> Self:
        flags = (bool(word.high & flag) for flag in (DRAINING, EVERYBODY, ROUTED))
        return cls(word.low, word.high & ROUTED - 1, *flags)

    @property
    def next_epoch(self) -> int:
        return self.epoch + 1 & _WORD

    @property
    def next_version(self) -> int:
        return self.allow_version + 1 & ROUTED - 1


@dataclass(frozen=True, slots=True)
class EndpointValue:
    slot: int
    epoch: int
    service: int
    source_address: IPv4Address
    marker: int
    admission: int
    id: str

    LAYOUT: ClassVar = Struct("<III4sQQ16s")

    def pack(self) -> bytes:
        source, uuid = self.source_address.packed, pack_id(self.id)
        return self.LAYOUT.pack(self.slot, self.epoch, self.service, source, self.marker, self.admission, uuid)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        slot, epoch, service, source, marker, admission, uuid = cls.LAYOUT.unpack(data)
        return cls(slot, epoch, service, IPv4Address(source), marker, admission, unpack_id(uuid))


@dataclass(frozen=True, slots=True)
class BackendValue:
    """A backend; `place` is where it stands in the configured list. Its MAC is zero while it is unresolved."""

    configured: Backend
    vpc: int
    mac: bytes
    place: int

    LAYOUT: ClassVar = Struct("<16sI6sHBB2x")

    @property
    def takes_sessions(self) -> bool:
        return self.mac != UNRESOLVED and not self.configured.draining

    def pack(self) -> bytes:
        of = self.configured
        return self.LAYOUT.pack(pack_address(of.address), self.vpc, self.mac, self.place, of.weight, of.draining)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        address, vpc, mac, place, weight, draining = cls.LAYOUT.unpack(data)
        return cls(Backend(unpack_address(address), weight, bool(draining)), vpc, mac, place)


UNRESOLVED = bytes(6)
PORT_VALUE = Struct("<2sHB3x")
IDENTITIES = (ClientIdentity.NONE, ClientIdentity.TOA, ClientIdentity.PROXY)  # in this order for ever


@dataclass(frozen=True, slots=True)
class ServiceWord:
    """Turns to a version of a service's lists and settings with one store."""

    version: int
    takers: int
    metered: bool = False

    def pack(self) -> Pair:
        return Pair(self.version, self.takers | METERED * self.metered)

    @classmethod
    def unpack(cls, word: Pair) -> Self:
        return cls(word.low, word.high & ~METERED, bool(word.high & METERED))

    @property
    def next_version(self) -> int:
        return self.version + 1 & _WORD


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    service: int
    vpc_id: str

    LAYOUT: ClassVar = Struct("<I16s")

    def pack(self) -> bytes:
        return self.LAYOUT.pack(self.service, pack_id(self.vpc_id))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        service, vpc = cls.LAYOUT.unpack(data)
        return cls(service, unpack_id(vpc))


def pack_id(uuid: str) -> bytes:
    return UUID(uuid).bytes


def unpack_id(data: bytes) -> str:
    """As `str(UUID(bytes=data))` is, at a quarter of the time: a gateway that starts reads 100,000 of them."""
    digits = data.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def endpoint_key(vpc: int, address: Address) -> bytes:
    return ENDPOINT_KEY.pack(vpc, pack_address(address))


def read_endpoint_key(key: bytes) -> tuple[int, Address]:
    vpc, address = ENDPOINT_KEY.unpack(key)
    return vpc, unpack_address(address)


def owner_key(vpc: int, source: IPv4Address) -> bytes:
    return OWNER_KEY.pack(vpc, source.packed)


def allowed_key(slot: int, version: int, network: Network) -> bytes:
    prefix = ALLOWED_FIXED_BITS + network.prefixlen + (MAPPED_BITS if isinstance(network, IPv4Network) else 0)
    return ALLOWED_KEY.pack(prefix, slot, version, pack_address(network.network_address))


def read_allowed_key(key: bytes) -> Network:
    prefix, _, _, address = ALLOWED_KEY.unpack(key)
    return _network(address, prefix - ALLOWED_FIXED_BITS)


@lru_cache(8192)  # most endpoints have the same few
def _network(address: bytes, bits: int) -> Network:
    first = unpack_address(address)
    return IPv4Network((first, bits - MAPPED_BITS)) if first.version == 4 else IPv6Network((first, bits))


def port_key(service: int, version: int, mapping: PortMapping) -> bytes:
    protocol = PROTOCOL_NUMBERS[mapping.protocol]
    return PORT_KEY.pack(service, version, protocol, mapping.client_port.to_bytes(2, "big"))


def port_value(mapping: PortMapping, place: int) -> bytes:
    return PORT_VALUE.pack(mapping.server_port.to_bytes(2, "big"), place, IDENTITIES.index(mapping.identity))


def read_port(key: bytes, value: bytes) -> tuple[int, PortMapping]:
    """The mapping and its place in the configured list."""
    _, _, protocol, client_port = PORT_KEY.unpack(key)
    server_port, place, identity = PORT_VALUE.unpack(value)
    ports = int.from_bytes(client_port, "big"), int.from_bytes(server_port, "big")
    return place, PortMapping(*ports, PROTOCOLS[protocol], IDENTITIES[identity])


class Maps:
    """The table's maps by name."""

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self.devices = maps["devices"]
        self.vpcs = maps["vpcs"]
        self.endpoints = maps["endpoints"]
        self.slots = Words(maps["slots"])
        self.deadlines = Words(maps["deadlines"])
        self.drains = Words(maps["drains"])
        self.source_counts = Words(maps["source_counts"])
        self.more_sources = maps["more_sources"]
        self.proxies = Words(maps["proxies"])
        self.source_owners = maps["source_owners"]
        self.allowed = maps["allowed"]
        self.routes = maps["routes"]
        self.rules = maps["rules"]
        self.rule_ports = maps["rule_ports"]
        self.services = Words(maps["services"])
        self.settings = maps["settings"]
        self.ports = maps["ports"]
        self.backends = maps["backends"]
        self.shares = maps["shares"]
        self.sessions = maps["sessions"]
        self.traffic = maps["traffic"]
        self.usage = maps["usage"]
        self.refusals = maps["refusals"]
        self.counters = maps["counters"]
        self.attachments = maps["attachments"]
        self.service_names = maps["service_names"]

    def close(self) -> None:
        for words in (self.slots, self.deadlines, self.drains, self.source_counts, self.proxies, self.services):
            words.close()
