"""TCP segments as Ethernet frames, over IPv4 and IPv6, and what frames that come say. Pure."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from services.gateway_agent.dataplane.segments import checksum
from services.gateway_agent.table import Address

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
MODULUS = 1 << 32
TTL = 64
_TCP, _ICMP, _ICMP_V6 = 6, 1, 58
_FRAGMENT_NEEDED = 4  # of ICMP's codes for "unreachable": it asks for shorter packets, and ours are short
_ETHERNET = struct.Struct(">6s6sH")
_V4 = struct.Struct(">BBHHHBBH4s4s")
_V6 = struct.Struct(">IHBB16s16s")
_SEGMENT = struct.Struct(">HHIIBBHHH")
_QUOTED = struct.Struct(">HHI")
_ICMP_HEADER = 8
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_VERSIONS = {number: version for version, number in _ETHERTYPES.items()}


class Peer(NamedTuple):
    """A machine as frames name it."""

    mac: bytes
    address: Address


class Between(NamedTuple):
    """The two ends of a connection, of one family."""

    ours: Peer
    theirs: Peer


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP segment; its source is a port of whoever sends it."""

    source: int
    destination: int
    sequence: int
    confirmed: int = 0
    flags: int = 0
    window: int = 0
    data: bytes = b""
    options: bytes = b""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A segment that came, and between whom."""

    source: Address
    destination: Address
    segment: Segment


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A machine on the way says that a segment of ours, with this sequence number, cannot go where it was sent."""

    source: Address  # of that segment, like all of these
    source_port: int
    destination: Address
    port: int
    sequence: int


def frame(between: Between, segment: Segment) -> bytes:
    """The segment on its way from us to them."""
    ours, theirs = between
    source, target = ours.address.packed, theirs.address.packed
    header = _SEGMENT.size + len(segment.options)
    fields = (
        segment.source, segment.destination, segment.sequence % MODULUS, segment.confirmed % MODULUS,
        header // 4 << 4, segment.flags, segment.window,
    )  # fmt: skip
    body, length = segment.options + segment.data, header + len(segment.data)
    if ours.address.version == 4:
        pseudo = source + target + struct.pack(">BBH", 0, _TCP, length)
        about = (0x45, 0, _V4.size + length, 0, 0x4000, TTL, _TCP)
        network = _V4.pack(*about, checksum(_V4.pack(*about, 0, source, target)), source, target)
    else:
        pseudo = source + target + struct.pack(">II", length, _TCP)
        network = _V6.pack(6 << 28, length, _TCP, TTL, source, target)
    whole = checksum(pseudo + _SEGMENT.pack(*fields, 0, 0) + body)
    ethernet = _ETHERNET.pack(theirs.mac, ours.mac, _ETHERTYPES[ours.address.version])
    return ethernet + network + _SEGMENT.pack(*fields, whole, 0) + body


def read(found: bytes) -> Arrived | Unreachable | None:
    """What a frame says that came; None if it is about something else, or not whole.

    Checksums are not looked at: between veths they are left to a device that is not there.
    """
    ethertype = int.from_bytes(found[12:14], "big")
    packet = _packet(found[_ETHERNET.size :], _VERSIONS.get(ethertype))
    if packet is None:
        return None
    match packet.protocol:
        case 6:
            return _arrived(packet)
        case 1 | 58:
            return _unreachable(packet)
        case _:
            return None


class _Packet(NamedTuple):
    version: int
    protocol: int
    source: Address
    destination: Address
    body: bytes


def _packet(data: bytes, version: int | None) -> _Packet | None:
    """An IP packet; what a header says that is longer than the data (of a quoted packet, say) is cut off."""
    if version == 4 and len(data) >= _V4.size:
        first, _, length, _, fragment, _, protocol, _, source, target = _V4.unpack_from(data)
        start = (first & 0x0F) * 4
        if first >> 4 != 4 or start < _V4.size or fragment & 0x3FFF:
            return None
        return _Packet(4, protocol, IPv4Address(source), IPv4Address(target), data[start : length or None])
    if version == 6 and len(data) >= _V6.size:
        first, length, protocol, _, source, target = _V6.unpack_from(data)
        if first >> 28 != 6:
            return None
        end = _V6.size + length if length else None
        return _Packet(6, protocol, IPv6Address(source), IPv6Address(target), data[_V6.size : end])
    return None


def _arrived(packet: _Packet) -> Arrived | None:
    if len(packet.body) < _SEGMENT.size:
        return None
    source, destination, sequence, confirmed, words, flags, window, _, _ = _SEGMENT.unpack_from(packet.body)
    start = (words >> 4) * 4
    if start < _SEGMENT.size:
        return None
    options, data = packet.body[_SEGMENT.size : start], packet.body[start:]
    segment = Segment(source, destination, sequence, confirmed, flags, window, data, options)
    return Arrived(packet.source, packet.destination, segment)


def _unreachable(packet: _Packet) -> Unreachable | None:
    """Who says no quotes what it refused: the IP header, and eight bytes or more of what follows."""
    kind, code = packet.body[:1], packet.body[1:2]
    told = kind == b"\x03" and code != bytes([_FRAGMENT_NEEDED]) if packet.protocol == _ICMP else kind == b"\x01"
    if not told or (packet.protocol == _ICMP) != (packet.version == 4):
        return None
    quoted = _packet(packet.body[_ICMP_HEADER:], packet.version)
    if quoted is None or quoted.protocol != _TCP or len(quoted.body) < _QUOTED.size:
        return None
    source_port, port, sequence = _QUOTED.unpack_from(quoted.body)
    return Unreachable(quoted.source, source_port, quoted.destination, port, sequence)
