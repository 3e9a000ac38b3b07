"""Frames made by hand on a VPC's wire, for packets that no socket would send, and what comes out elsewhere."""

import asyncio
from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import Struct, pack
from typing import Self

from tests.support.namespaces import Namespace

ALL, IPV4, ARP, IPV6 = 0x0003, 0x0800, 0x0806, 0x86DD
ICMP, TCP, UDP = 1, 6, 17
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
BROADCAST = b"\xff" * 6
OUTGOING = 4  # PACKET_OUTGOING

_IPV4 = Struct(">BBHHHBBH4s4s")
_TCP = Struct(">HHIIBBHHH")
_UDP = Struct(">HHHH")


def checksum(data: bytes) -> int:
    """RFC 1071; 0 over data that holds its own."""
    total = sum(int.from_bytes(data[start : start + 2].ljust(2, b"\0"), "big") for start in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP or UDP packet; the fields beside the addresses are there to be set wrong."""

    source: str
    destination: str
    source_port: int
    destination_port: int
    protocol: int = TCP
    flags: int = SYN
    payload: bytes = b""
    ttl: int = 64
    options: bytes = b""  # of IP
    fragment: int = 0
    version: int = 4
    missing: int = 0  # bytes that the total length leaves out

    def pack(self) -> bytes:
        transport = self._transport()
        header_length, total = 5 + len(self.options) // 4, 20 + len(self.options) + len(transport) - self.missing
        fields = [self.version << 4 | header_length, 0, total, 7, self.fragment, self.ttl, self.protocol, 0]
        addresses = IPv4Address(self.source).packed, IPv4Address(self.destination).packed
        fields[-1] = checksum(_IPV4.pack(*fields, *addresses) + self.options)
        return _IPV4.pack(*fields, *addresses) + self.options + transport

    def _transport(self) -> bytes:
        ports = self.source_port, self.destination_port
        if self.protocol == TCP:
            header = _TCP.pack(*ports, 1, 0, 5 << 4, self.flags, 64240, self._checksum(_TCP.pack(
                *ports, 1, 0, 5 << 4, self.flags, 64240, 0, 0)), 0)  # fmt: skip
        else:
            length = _UDP.size + len(self.payload)
            header = _UDP.pack(*ports, length, self._checksum(_UDP.pack(*ports, length, 0)))
        return header + self.payload

    def _checksum(self, header: bytes) -> int:
        addresses = IPv4Address(self.source).packed + IPv4Address(self.destination).packed
        pseudo = addresses + pack(">HH", self.protocol, len(header) + len(self.payload))
        return checksum(pseudo + header + self.payload)


@dataclass(frozen=True, slots=True)
class Seen:
    """A TCP or UDP packet as it came out."""

    source: str
    destination: str
    source_port: int
    destination_port: int
    protocol: int
    ttl: int
    payload: bytes
    checksums_right: bool

    @classmethod
    def read(cls, frame: bytes) -> Self | None:
        """None if it is something else."""
        if len(frame) < 34 or int.from_bytes(frame[12:14], "big") != IPV4:
            return None
        header, rest = frame[14:34], frame[34:]
        _, _, total, _, _, ttl, protocol, _, source, destination = _IPV4.unpack(header)
        transport = rest[: total - 20]
        if protocol not in (TCP, UDP):
            return None
        pseudo = source + destination + pack(">HH", protocol, len(transport))
        return cls(
            source=str(IPv4Address(source)),
            destination=str(IPv4Address(destination)),
            source_port=int.from_bytes(transport[0:2], "big"),
            destination_port=int.from_bytes(transport[2:4], "big"),
            protocol=protocol,
            ttl=ttl,
            payload=transport[20 if protocol == TCP else 8 :],
            checksums_right=checksum(header) == 0 and checksum(pseudo + transport) == 0,
        )


class Wire:
    """The device of a VPC: what is sent here enters the gateway, what is received came out of it."""

    def __init__(self, namespace: Namespace, gateway: bytes) -> None:
        self.mac, self.gateway = namespace.mac(), gateway
        self._socket = namespace.packet_socket(ALL)
        self._loop = asyncio.get_running_loop()

    async def send(self, frame: bytes) -> None:
        await self._loop.sock_sendall(self._socket, frame)

    def send_now(self, frame: bytes) -> None:
        """From any thread."""
        self._socket.send(frame)

    async def send_ipv4(self, packet: bytes) -> None:
        await self.send(ethernet(self.gateway, self.mac, IPV4, packet))

    async def receive(self, patience: float = 5.0) -> bytes:
        """The next frame that came in."""
        async with asyncio.timeout(patience):
            while True:
                frame, address = await self._loop.sock_recvfrom(self._socket, 1 << 16)
                if address[2] != OUTGOING:
                    return frame

    async def receive_through(self, payload: bytes, patience: float = 5.0) -> list[Seen]:
        """All TCP and UDP packets up to the one with this payload, which is the last."""
        seen: list[Seen] = []
        async with asyncio.timeout(patience):
            while not seen or seen[-1].payload != payload:
                packet = Seen.read(await self.receive(patience))
                seen += [packet] if packet else []
        return seen

    def close(self) -> None:
        self._socket.close()


def ethernet(destination: bytes, source: bytes, ethertype: int, payload: bytes) -> bytes:
    return destination + source + ethertype.to_bytes(2, "big") + payload


def arp_request(sender_mac: bytes, sender: str, target: str) -> bytes:
    body = pack(">HHBBH", 1, IPV4, 6, 4, 1) + sender_mac + IPv4Address(sender).packed
    return ethernet(BROADCAST, sender_mac, ARP, body + bytes(6) + IPv4Address(target).packed)


def arp_reply(frame: bytes) -> tuple[str, bytes] | None:
    """Address and MAC address that a frame tells, if it is an ARP reply."""
    if int.from_bytes(frame[12:14], "big") != ARP or int.from_bytes(frame[20:22], "big") != 2:
        return None
    return str(IPv4Address(frame[28:32])), frame[22:28]
