"""Errors of ICMP, made by hand and read as they came out."""

import asyncio
from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import Struct
from typing import Self

from tests.support.wire import ICMP, IPV4, Wire, checksum

UNREACHABLE, ECHO, TIME_EXCEEDED, PARAMETER_PROBLEM = 3, 8, 11, 12
PORT, TOO_LONG = 3, 4  # codes of UNREACHABLE
QUOTED = 28  # bytes of an IPv4 packet that every error quotes

_IPV4 = Struct(">BBHHHBBH4s4s")
_ICMP = Struct(">BBH4s")


@dataclass(frozen=True, slots=True)
class IcmpError:
    """`rest` is the second word of its header: an MTU, a pointer, or nothing."""

    source: str
    destination: str
    kind: int
    code: int
    quoted: bytes
    rest: bytes = bytes(4)
    ttl: int = 64
    wrong: int = 0  # what is added to the checksum

    def pack(self) -> bytes:
        check = checksum(_ICMP.pack(self.kind, self.code, 0, self.rest) + self.quoted)
        message = _ICMP.pack(self.kind, self.code, (check + self.wrong) & 0xFFFF, self.rest) + self.quoted
        ends = IPv4Address(self.source).packed, IPv4Address(self.destination).packed
        fields = 0x45, 0, _IPV4.size + len(message), 7, 0, self.ttl, ICMP
        return _IPV4.pack(*fields, checksum(_IPV4.pack(*fields, 0, *ends)), *ends) + message

    @classmethod
    def read(cls, frame: bytes) -> Self | None:
        """None if it is something else; its checksums must be right."""
        packet = frame[14:]
        if int.from_bytes(frame[12:14], "big") != IPV4 or packet[9] != ICMP:
            return None
        *_, total, _, _, ttl, _, _, source, destination = _IPV4.unpack_from(packet)
        message = packet[_IPV4.size : total]
        assert checksum(packet[: _IPV4.size]) == 0
        assert checksum(message) == 0
        kind, code, _, rest = _ICMP.unpack_from(message)
        ends = str(IPv4Address(source)), str(IPv4Address(destination))
        return cls(*ends, kind, code, message[_ICMP.size :], rest, ttl)


async def receive_error(wire: Wire, patience: float = 5.0) -> IcmpError:
    """The next one that came out."""
    async with asyncio.timeout(patience):
        while True:
            if (found := IcmpError.read(await wire.receive(patience))) is not None:
                return found
