"""TCP segments of a connection attempt as Ethernet frames, and what an answer to one says. Pure."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import NamedTuple

from services.gateway_agent.reach import Outcome

ETHERTYPE_IPV4 = 0x0800
TCP, ICMP = 6, 1
SYN, RST, ACK = 0x02, 0x04, 0x10
UNREACHABLE = 3
TTL, WINDOW = 64, 64240
MSS = struct.pack(">BBH", 2, 4, 1460)
_ETHERNET = struct.Struct(">6s6sH")
_IPV4 = struct.Struct(">BBHHHBBH4s4s")
_TCP = struct.Struct(">HHIIBBHHH")
MODULUS = 1 << 32


class Host(NamedTuple):
    """A machine as frames name it."""

    mac: bytes
    address: IPv4Address


@dataclass(frozen=True, slots=True)
class Dialling:
    """A connection attempt: from whom, to whom, and the number that its answer must confirm."""

    ours: Host
    theirs: Host
    source_port: int
    port: int
    sequence: int

    def opening(self) -> bytes:
        return self._frame(SYN, self.sequence, 0, MSS)

    def hanging_up(self) -> bytes:
        """Ends what an answer has opened, before the other side has anybody to tell of it."""
        return self._frame(RST | ACK, self.sequence + 1, 0, b"")

    def outcome(self, frame: bytes) -> Outcome | None:
        """What a frame that came says of this attempt; None if it is about something else."""
        header = _header(frame)
        if header is None or header.destination != self.ours.address:
            return None
        body = frame[_ETHERNET.size + header.length :]
        if header.protocol == ICMP:
            return self._unreachable(body)
        if header.protocol != TCP or header.source != self.theirs.address or len(body) < _TCP.size:
            return None
        source, destination, _, confirmed, _, flags, *_ = _TCP.unpack_from(body)
        if (source, destination) != (self.port, self.source_port) or confirmed != (self.sequence + 1) % MODULUS:
            return None
        if flags & RST:
            return Outcome.REFUSED
        return Outcome.OPEN if flags & (SYN | ACK) == SYN | ACK else None

    def _unreachable(self, body: bytes) -> Outcome | None:
        """A router or firewall that says no quotes what it refused."""
        quoted = _header(bytes(_ETHERNET.size - 2) + b"\x08\x00" + body[8:])
        if body[:1] != bytes([UNREACHABLE]) or quoted is None:
            return None
        ports = body[8 + quoted.length : 8 + quoted.length + 4]
        ours = (quoted.destination, ports) == (self.theirs.address, struct.pack(">HH", self.source_port, self.port))
        return Outcome.REFUSED if ours else None

    def _frame(self, flags: int, sequence: int, confirmed: int, options: bytes) -> bytes:
        source, target = self.ours.address.packed, self.theirs.address.packed
        words = (_TCP.size + len(options)) // 4
        fields = (self.source_port, self.port, sequence % MODULUS, confirmed, words << 4, flags, WINDOW)
        segment = _TCP.pack(*fields, 0, 0) + options
        pseudo = source + target + struct.pack(">BBH", 0, TCP, len(segment))
        segment = _TCP.pack(*fields, checksum(pseudo + segment), 0) + options
        about = (0x45, 0, _IPV4.size + len(segment), 0, 0x4000, TTL, TCP)
        packet = _IPV4.pack(*about, checksum(_IPV4.pack(*about, 0, source, target)), source, target) + segment
        return _ETHERNET.pack(self.theirs.mac, self.ours.mac, ETHERTYPE_IPV4) + packet


class _Header(NamedTuple):
    length: int
    protocol: int
    source: IPv4Address
    destination: IPv4Address


def _header(frame: bytes) -> _Header | None:
    """The IPv4 header of a frame, if it has one."""
    if len(frame) < _ETHERNET.size + _IPV4.size or frame[12:14] != ETHERTYPE_IPV4.to_bytes(2, "big"):
        return None
    first, _, _, _, _, _, protocol, _, source, destination = _IPV4.unpack_from(frame, _ETHERNET.size)
    length = (first & 0x0F) * 4
    if first >> 4 != 4 or length < _IPV4.size:
        return None
    return _Header(length, protocol, IPv4Address(source), IPv4Address(destination))


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    number = int.from_bytes(data + bytes(len(data) % 2), "big")
    total = number % 0xFFFF or (0xFFFF if number else 0)  # its words added up, with every carry brought round
    return 0xFFFF - total
