"""Frames for the model of the forwarding: read by RFC 791, 793, 768 and 826, and written with checksums from scratch.

A packet whose checksum was wrong stays wrong by as much (modulo 0xffff): what a gateway does not vouch for it must not
make right, nor wrong in another way.
"""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import NamedTuple

from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.table import Address

ETHERNET, IP_HEADER = 14, 20
ICMP, TCP, UDP, FRAGMENT, ICMPV6 = 1, 6, 17, 44, 58
EXTENSIONS = (0, 43, 60)  # of IPv6: hop by hop, routing, destination
TRANSPORT_HEADER = {TCP: 20, UDP: 8}
CHECKSUM_AT = {TCP: 16, UDP: 6}
SOURCE_RANGE = IPv4Network("198.19.128.0/17")
FIRST_MULTICAST = IPv4Address("224.0.0.0")
ARP_LENGTH = ETHERNET + 28
ND_HEADERS, ND_LENGTH, ND_HOPS = 54, 78, 255  # bytes up to the message and with it; what a neighbour's packet has left
SOLICITATION, ADVERTISEMENT = 135, 136
NOBODY, ALL_NODES = IPv6Address("::"), IPv6Address("ff02::1")
ETHERNET_AND_IPV4 = bytes.fromhex("0001 0800 06 04")
OPTION_END, OPTION_NOTHING, OPTION_MSS = 0, 1, 2  # of TCP
REQUEST, REPLY = b"\0\1", b"\0\2"


class EtherType(IntEnum):
    IPV4 = 0x0800
    ARP = 0x0806
    IPV6 = 0x86DD


class Refused(Exception):
    """The packet does not pass."""

    def __init__(self, reason: Counter) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Tuple(NamedTuple):
    """What tells a packet's session: its addresses and ports in the VPC (by number) that it comes from."""

    source: Address
    destination: Address
    source_port: int
    destination_port: int
    vpc: int
    protocol: int


@dataclass(frozen=True, slots=True)
class Packet:
    """A TCP or UDP packet that nothing speaks against."""

    tuple: Tuple
    sender: bytes
    length: int  # of the IP packet, in bytes
    syn: bool = False
    ack: bool = False
    fin: bool = False
    rst: bool = False

    @property
    def is_pure_syn(self) -> bool:
        return self.syn and not (self.ack or self.fin or self.rst)

    @property
    def asks_for_connection(self) -> bool:
        return self.syn and not self.ack

    @property
    def opens(self) -> bool:
        """A TCP session begins with a pure SYN, a UDP session with any packet."""
        return self.tuple.protocol == UDP or self.is_pure_syn


@dataclass(frozen=True, slots=True)
class Ip:
    """Where the header of a family has what, in a frame."""

    address: type[IPv4Address] | type[IPv6Address]
    source: slice
    destination: slice
    hops_at: int
    protocol_at: int
    transport: int  # where the header after it begins

    def payload(self, frame: bytes | bytearray) -> int:
        """How many bytes follow the header, as it says itself."""
        return found(frame, 18) if self.address is IPv6Address else found(frame, 16) - IP_HEADER


IPV4 = Ip(IPv4Address, slice(26, 30), slice(30, 34), hops_at=22, protocol_at=23, transport=34)
IPV6 = Ip(IPv6Address, slice(22, 38), slice(38, 54), hops_at=21, protocol_at=20, transport=54)


def ether_type(frame: bytes) -> int:
    return int.from_bytes(frame[12:14], "big")


def read_packet(frame: bytes, vpc: int, device: bytes) -> Packet:
    """What is in a frame that came in by a device with this MAC address. Raises Refused."""
    _need(frame[0:6] == device, Counter.REFUSED_NOT_FOR_US)
    ip = IPV6 if ether_type(frame) == EtherType.IPV6 else IPV4
    _need(len(frame) >= ip.transport + TRANSPORT_HEADER[UDP], Counter.REFUSED_MALFORMED)
    _check_ipv6(frame) if ip is IPV6 else _check_ipv4(frame)
    protocol, transport = frame[ip.protocol_at], frame[ip.transport :]
    header = TRANSPORT_HEADER[protocol]
    _need(len(transport) >= ip.payload(frame) >= header, Counter.REFUSED_MALFORMED)
    key = Tuple(
        source=ip.address(frame[ip.source]),
        destination=ip.address(frame[ip.destination]),
        source_port=int.from_bytes(transport[0:2], "big"),
        destination_port=int.from_bytes(transport[2:4], "big"),
        vpc=vpc,
        protocol=protocol,
    )
    sender, length = frame[6:12], len(frame) - ETHERNET
    if protocol == UDP:
        return Packet(key, sender, length)
    _need(transport[12] >> 4 >= TRANSPORT_HEADER[TCP] // 4, Counter.REFUSED_MALFORMED)
    fin, syn, rst, ack = (bool(transport[13] & flag) for flag in (0x01, 0x02, 0x04, 0x10))
    return Packet(key, sender, length, syn=syn, ack=ack, fin=fin, rst=rst)


def _check_ipv4(frame: bytes) -> None:
    """In the order in which reasons count: a packet has one, however much is wrong with it."""
    _need(frame[14] >> 4 == 4 and frame[14] & 15 >= 5, Counter.REFUSED_MALFORMED)
    _need(frame[14] & 15 == 5, Counter.REFUSED_OPTIONS)
    more_fragments_or_offset = int.from_bytes(frame[20:22], "big") & 0x3FFF
    _need(not more_fragments_or_offset, Counter.REFUSED_FRAGMENT)
    _need(frame[23] != ICMP, Counter.REFUSED_ICMP)
    _need(frame[23] in TRANSPORT_HEADER, Counter.REFUSED_PROTOCOL)
    _need(IPv4Address(frame[26:30]) < FIRST_MULTICAST, Counter.REFUSED_MALFORMED)
    _need(frame[22] > 1, Counter.REFUSED_TTL)


def _check_ipv6(frame: bytes) -> None:
    _need(frame[14] >> 4 == 6, Counter.REFUSED_MALFORMED)
    next_header = frame[20]
    _need(next_header not in EXTENSIONS, Counter.REFUSED_OPTIONS)
    _need(next_header != FRAGMENT, Counter.REFUSED_FRAGMENT)
    _need(next_header != ICMPV6, Counter.REFUSED_ICMP)
    _need(next_header in TRANSPORT_HEADER, Counter.REFUSED_PROTOCOL)
    _need(frame[22] != 0xFF, Counter.REFUSED_MALFORMED)
    _need(frame[21] > 1, Counter.REFUSED_TTL)


def _need(good: bool, reason: Counter) -> None:
    if not good:
        raise Refused(reason)


def readdressed(frame: bytes, to: Tuple, source_mac: bytes, destination_mac: bytes, mtu: int = 0) -> bytes:
    """The frame with other addresses and ports and a hop less; a SYN tells no more MSS than fits a known MTU."""
    ip = IPV6 if ether_type(frame) == EtherType.IPV6 else IPV4
    protocol, ports = frame[ip.protocol_at], ip.transport
    out = bytearray(frame)
    out[0:12] = destination_mac + source_mac
    out[ip.hops_at] -= 1
    out[ip.source], out[ip.destination] = to.source.packed, to.destination.packed
    out[ports : ports + 4] = to.source_port.to_bytes(2, "big") + to.destination_port.to_bytes(2, "big")
    if protocol == TCP and frame[ip.transport + 13] & 0x02 and mtu:
        _clamp(out, ip.transport, mtu - ip.transport + ETHERNET - TRANSPORT_HEADER[TCP])
    if ip is IPV4:
        out[24:26] = carried(found(frame, 24), header_checksum(frame), header_checksum(out))
    at = ip.transport + CHECKSUM_AT[protocol]
    if protocol == TCP or found(frame, at):  # in UDP 0 says that there is none
        sums = transport_checksum(frame, ip), transport_checksum(out, ip)
        becomes = carried(found(frame, at), *sums)
        out[at : at + 2] = becomes if protocol == TCP or any(becomes) else b"\xff\xff"
    return bytes(out)


def _clamp(out: bytearray, transport: int, most: int) -> None:
    """Lowers the MSS option, if there is a whole one (RFC 9293, 3.2); an option that is cut short ends the list."""
    at, end = transport + TRANSPORT_HEADER[TCP], min(transport + (out[transport + 12] >> 4) * 4, len(out))
    while at + 4 <= end and out[at] != OPTION_END:
        length = 1 if out[at] == OPTION_NOTHING else out[at + 1]
        if out[at] == OPTION_MSS or not length:
            if length == 4 and found(out, at + 2) > most > 0:
                out[at + 2 : at + 4] = most.to_bytes(2, "big")
            return
        at += length


def answered(frame: bytes, mac: bytes) -> bytes:
    """The ARP reply to a request, from the device with this MAC address; what pads the request pads the reply."""
    asker, asked = frame[22:32], frame[38:42]
    return frame[6:12] + mac + frame[12:20] + REPLY + mac + asked + asker + frame[42:]


def is_neighbour_discovery(frame: bytes) -> bool:
    """A solicitation or an advertisement, from somebody on this link."""
    if len(frame) < ND_LENGTH or frame[20] != ICMPV6 or frame[21] != ND_HOPS:
        return False
    return frame[54] in (SOLICITATION, ADVERTISEMENT) and frame[55] == 0


def advertised(frame: bytes, mac: bytes) -> bytes:
    """The advertisement that answers a solicitation; to all, where whoever asks has no address yet."""
    asker, asked = IPv6Address(frame[22:38]), frame[62:78]
    nobody = asker == NOBODY
    to = (ALL_NODES if nobody else asker).packed
    flags = bytes.fromhex("20000000" if nobody else "60000000")
    message = bytes([ADVERTISEMENT, 0, 0, 0]) + flags + asked + bytes([2, 1]) + mac
    pseudo = asked + to + len(message).to_bytes(4, "big") + bytes([0, 0, 0, ICMPV6])
    message = message[:2] + checksum(pseudo + message).to_bytes(2, "big") + message[4:]
    header = frame[14:18] + len(message).to_bytes(2, "big") + bytes([ICMPV6, ND_HOPS]) + asked + to
    return frame[6:12] + mac + frame[12:14] + header + message


def found(frame: bytes | bytearray, at: int) -> int:
    return int.from_bytes(frame[at : at + 2], "big")


def carried(was: int, right: int, becomes: int) -> bytes:
    """The checksum of what a packet becomes, as wrong as the one that was found."""
    return ((becomes + was - right) % 0xFFFF).to_bytes(2, "big")


def header_checksum(frame: bytes | bytearray) -> int:
    return checksum(bytes(frame[14:24]) + bytes(2) + bytes(frame[26:34]))


def transport_checksum(frame: bytes | bytearray, ip: "Ip") -> int:
    """Of what the header says is there, as far as it is."""
    protocol, length = frame[ip.protocol_at], ip.payload(frame)
    at, end = ip.transport + CHECKSUM_AT[protocol], ip.transport + length
    segment = bytes(frame[ip.transport : at]) + bytes(2) + bytes(frame[at + 2 : end])
    addresses = bytes(frame[ip.source]) + bytes(frame[ip.destination])
    return checksum(addresses + length.to_bytes(4, "big") + bytes([0, protocol]) + segment)


def checksum(data: bytes) -> int:
    """RFC 1071: the complement of the sum of 16-bit words, which is a remainder of division by 0xffff."""
    words = int.from_bytes(data + bytes(len(data) % 2), "big")
    return 0xFFFF - (words % 0xFFFF or (0xFFFF if words else 0))
