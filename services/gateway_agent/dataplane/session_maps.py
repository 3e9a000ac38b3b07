"""Sessions, and what has passed, as bytes: the same structs as in bpf/session_maps.h, field by field."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import ClassVar, NamedTuple, Self

from services.gateway_agent.dataplane.maps import COUNT, NUMBER, PROTOCOLS, unpack_address
from services.gateway_agent.table import Address, Protocol

# Source, destination, their ports, VPC and protocol: in network order but for the numbers.
TUPLE = Struct("<4s4s2s2sI")
TUPLE6 = Struct("<16s16s2s2sI")
_FLOW = "6I6s6B3I3Q"
_PROTOCOL_BITS = 8


class Direction(IntEnum):
    FROM_CONSUMER = 0
    FROM_PROVIDER = 1


class Tuple(NamedTuple):
    """Where a packet comes from, and where it goes."""

    source: Address
    destination: Address
    source_port: int
    destination_port: int
    vpc: int
    protocol: Protocol

    def pack(self) -> bytes:
        layout = TUPLE if self.source.version == 4 else TUPLE6
        ports = self.source_port.to_bytes(2, "big"), self.destination_port.to_bytes(2, "big")
        number = self.vpc << _PROTOCOL_BITS | NUMBERS[self.protocol]
        return layout.pack(self.source.packed, self.destination.packed, *ports, number)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        layout, kind = (TUPLE, IPv4Address) if len(data) == TUPLE.size else (TUPLE6, IPv6Address)
        source, destination, source_port, destination_port, number = layout.unpack(data)
        ports = int.from_bytes(source_port, "big"), int.from_bytes(destination_port, "big")
        protocol = PROTOCOLS[number & (1 << _PROTOCOL_BITS) - 1]
        return cls(kind(source), kind(destination), *ports, number >> _PROTOCOL_BITS, protocol)


NUMBERS = {protocol: number for number, protocol in PROTOCOLS.items()}


class SessionValue(NamedTuple):
    """One direction of a session."""

    key: bytes
    other: bytes
    slot: int
    epoch: int
    allow_version: int
    service: int
    service_version: int
    last_seen: int
    next_hop: bytes
    direction: int
    confirmed: int
    finished: int
    reset: int
    logged: int
    identity: int
    address_sum: int
    port_sum: int
    tick: int
    began: int
    packets: int
    length: int  # of all of them, in bytes of IP packets

    def pack(self) -> bytes:
        return (SESSION if len(self.key) == TUPLE.size else SESSION6).pack(*self)

    @property
    def protocol(self) -> int:
        return self.key[-4]  # the lowest byte of the last word

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        return cls._make((SESSION if len(data) == SESSION.size else SESSION6).unpack(data))


SESSION = Struct(f"<16s16s{_FLOW}")
SESSION6 = Struct(f"<40s40s{_FLOW}")


class FlowEnd(IntEnum):
    """How a session ended, or that none began."""

    CLOSED = 0
    RESET = 1
    IDLE = 2
    CUT = 3
    REFUSED = 4


@dataclass(frozen=True, slots=True)
class FlowValue:
    """What the program tells of a session that ended; times in nanoseconds of CLOCK_MONOTONIC."""

    client: Address
    endpoint: Address
    client_port: int
    endpoint_port: int
    vpc: int
    protocol: Protocol
    slot: int
    epoch: int
    end: FlowEnd
    reason: int
    packets: tuple[int, int]  # by direction
    lengths: tuple[int, int]  # bytes of IP packets
    began: int
    ended: int

    LAYOUT: ClassVar = Struct("<16s16s2s2s5I6Q")

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        client, endpoint, port, to, number, slot, epoch, end, reason, *counts = cls.LAYOUT.unpack(data)
        return cls(
            unpack_address(client),
            unpack_address(endpoint),
            int.from_bytes(port, "big"),
            int.from_bytes(to, "big"),
            number >> _PROTOCOL_BITS,
            PROTOCOLS[number & (1 << _PROTOCOL_BITS) - 1],
            slot,
            epoch,
            FlowEnd(end),
            reason,
            (counts[0], counts[1]),
            (counts[2], counts[3]),
            counts[4],
            counts[5],
        )


TRAFFIC = Struct("<5Q")  # sessions made, packets and bytes by direction
USAGE = Struct("<IIQQ")  # sessions and their epoch, and what limits are measured by
REFUSAL_KEY = Struct("<II")  # slot and reason
SWEEP = Struct("<IIIIQ")  # keys, sessions, removed, nothing, and the time
SWEEP_KEYS = 1024

SIZES: Mapping[str, tuple[int, int]] = {
    "sessions": (TUPLE.size, SESSION.size),
    "sessions6": (TUPLE6.size, SESSION6.size),
    "sweep_keys": (NUMBER.size, TUPLE.size),
    "sweep_keys6": (NUMBER.size, TUPLE6.size),
    "counters": (NUMBER.size, COUNT.size),
    "traffic": (NUMBER.size, TRAFFIC.size),
    "usage": (NUMBER.size, USAGE.size),
    "refusals": (REFUSAL_KEY.size, COUNT.size),
    "options": (NUMBER.size, COUNT.size),
}
