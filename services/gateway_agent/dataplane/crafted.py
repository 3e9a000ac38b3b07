"""A client's first packet as an Ethernet frame, of either family. Pure."""

import socket
import struct

from services.gateway_agent.dataplane.segments import ETHERTYPE_IPV4, SYN, TTL, WINDOW, checksum
from services.gateway_agent.packet_trace import Opening
from services.gateway_agent.table import Address, Protocol

ETHERTYPE_IPV6 = 0x86DD
PAYLOAD = b"sidegate"
_ETHERNET = struct.Struct(">6s6sH")
_IPV4 = struct.Struct(">BBHHHBBH4s4s")
_IPV6 = struct.Struct(">IHBB16s16s")
_TCP = struct.Struct(">HHIIBBHHH")
_UDP = struct.Struct(">HHHH")
NUMBERS = {Protocol.TCP: socket.IPPROTO_TCP, Protocol.UDP: socket.IPPROTO_UDP}


def first_frame(opening: Opening, address: Address, *, sender: bytes, receiver: bytes) -> bytes:
    """A SYN or a datagram to `opening.port` of the address, with right checksums; MAC addresses are given."""
    source, target, number = opening.source.packed, address.packed, NUMBERS[opening.protocol]
    body = _segment(opening, 0)
    pseudo = source + target + struct.pack(">II", len(body), number)
    body = _segment(opening, checksum(pseudo + body) or 0xFFFF)  # of UDP, 0 says that there is none
    if address.version == 4:
        about = (0x45, 0, _IPV4.size + len(body), 0, 0x4000, TTL, number)
        header = _IPV4.pack(*about, checksum(_IPV4.pack(*about, 0, source, target)), source, target)
        return _ETHERNET.pack(receiver, sender, ETHERTYPE_IPV4) + header + body
    header = _IPV6.pack(6 << 28, len(body), number, TTL, source, target)
    return _ETHERNET.pack(receiver, sender, ETHERTYPE_IPV6) + header + body


def _segment(opening: Opening, check: int) -> bytes:
    ports = opening.source_port, opening.port
    if opening.protocol is Protocol.UDP:
        return _UDP.pack(*ports, _UDP.size + len(PAYLOAD), check) + PAYLOAD
    return _TCP.pack(*ports, 1, 0, _TCP.size // 4 << 4, SYN, WINDOW, check, 0)
