"""Somebody in a VPC who sends what no honest program sends, to find what he should not, and keeps all that he hears."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import pack
from typing import Self

from tests.support.namespaces import Namespace
from tests.support.wire import ALL, ARP, ICMP, IPV4, TCP, UDP, Segment, arp_reply, arp_request, checksum, ethernet

SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
BATCH = 256
QUIET = 0.25
"""Seconds without an answer, after which none is waited for any more."""

BUFFER = 32 << 20


@dataclass(frozen=True, slots=True)
class Heard:
    """An IPv4 packet that came in. `flags` are TCP's; `port` is the one that it comes from, `to` the one that it is
    for; 0 where it has none."""

    sender: bytes
    source: str
    protocol: int
    port: int
    to: int
    flags: int
    frame: bytes

    @classmethod
    def read(cls, frame: bytes) -> Self | None:
        if int.from_bytes(frame[12:14], "big") != IPV4 or len(frame) < 34:
            return None
        begin, protocol = 14 + (frame[14] & 15) * 4, frame[23]
        ports = protocol in (TCP, UDP)
        port, to = (int.from_bytes(frame[at : at + 2], "big") if ports else 0 for at in (begin, begin + 2))
        flags = frame[begin + 13] if protocol == TCP else 0
        return cls(frame[6:12], str(IPv4Address(frame[26:30])), protocol, port, to, flags, frame)


class Adversary:
    """At an address of a host's. What he sends goes to the gateway, wherever it says that it goes."""

    def __init__(self, space: Namespace, address: str, device: str) -> None:
        self.space, self.address, self.mac = space, address, space.mac(device)
        self.gateway = bytes(6)
        self.frames: list[bytes] = []
        self._socket = space.packet_socket(ALL, device)
        self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        asyncio.get_running_loop().add_reader(self._socket, self._hear)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(BATCH):
                self.frames.append(self._socket.recv(1 << 16))

    async def answers(self, frames: Iterable[bytes]) -> Sequence[bytes]:
        """All that came in from the first frame that was sent until it was quiet."""
        before = len(self.frames)
        for number, frame in enumerate(frames):
            self._socket.send(frame)
            if number % BATCH == 0:
                await asyncio.sleep(0)
        heard = -1
        while heard != (heard := len(self.frames)):
            await asyncio.sleep(QUIET)
        return self.frames[before:]

    async def who_has(self, addresses: Iterable[str]) -> dict[str, bytes]:
        """Who answers ARP, and with which MAC address."""
        asked = [arp_request(self.mac, self.address, each) for each in addresses]
        return dict(found for frame in await self.answers(asked) if (found := arp_reply(frame)))

    async def find_gateway(self, address: str) -> None:
        """By an address that it answers for."""
        self.gateway = (await self.who_has([address]))[address]

    async def sends(self, packets: Iterable[bytes]) -> list[Heard]:
        """IPv4 packets to the gateway, and those that came in then."""
        frames = (ethernet(self.gateway, self.mac, IPV4, packet) for packet in packets)
        return [heard for frame in await self.answers(frames) if (heard := Heard.read(frame))]

    def segment(self, destination: str, port: int, **what: int | bytes | str) -> bytes:
        """A SYN, or a datagram, or what else it is made."""
        fields: dict[str, object] = {"source": self.address, "source_port": 40_000, **what}
        return Segment(destination=destination, destination_port=port, **fields).pack()  # type: ignore[arg-type]

    def segments(self, destination: str, ports: Iterable[int], **what: int | bytes | str) -> Iterator[bytes]:
        """The same to many ports. Quickly: only the port and, by what it adds, the checksum are written anew."""
        packet = bytearray(self.segment(destination, 0, **what))
        check = 36 if packet[9] == TCP else 26
        begun = 0xFFFF - int.from_bytes(packet[check : check + 2], "big")
        for port in ports:
            total = begun + port
            packet[22:24] = port.to_bytes(2, "big")
            packet[check : check + 2] = (0xFFFF - (total & 0xFFFF) - (total >> 16)).to_bytes(2, "big")
            yield bytes(packet)

    def echo(self, destination: str, *, ttl: int = 64) -> bytes:
        """A ping."""
        body = pack(">BBHHH", 8, 0, 0, 7, 1) + b"anybody there?"
        message = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
        ends = IPv4Address(self.address).packed + IPv4Address(destination).packed
        header = pack(">BBHHHBBH", 0x45, 0, 20 + len(message), 9, 0, ttl, ICMP, 0) + ends
        return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + message

    def heard_anything_of(self, secrets: dict[str, bytes]) -> dict[str, str]:
        """Which of the secrets came in, and in which frame; answers of ARP repeat what he asked for."""
        frames = [each for each in self.frames if int.from_bytes(each[12:14], "big") != ARP]
        return {name: frame.hex() for name, secret in secrets.items() for frame in frames if secret in frame}


@contextlib.contextmanager
def adversary(space: Namespace, address: str, device: str) -> Iterator[Adversary]:
    made = Adversary(space, address, device)
    try:
        yield made
    finally:
        made.close()


def packed(address: str) -> bytes:
    return IPv4Address(address).packed
