"""Asking hosts of a VPC for their MAC address, and hearing what they answer, on one packet socket."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import Struct
from typing import Self

ETHERTYPE = 0x0806
BROADCAST = b"\xff" * 6
NOBODY = IPv4Address("0.0.0.0")  # noqa: S104 - the sender of a probe, RFC 5227
REQUEST, REPLY = 1, 2
ETHERNET_AND_IPV4 = (1, 0x0800, 6, 4)
FRAMES_AT_ONCE = 64  # then others of the event loop have their turn, however much a tenant sends

_FRAME = Struct(">6s6sH HHBBH 6s4s6s4s")


@dataclass(frozen=True, slots=True)
class ArpFrame:
    operation: int
    sender_mac: bytes
    sender: IPv4Address
    target_mac: bytes
    target: IPv4Address

    def pack(self, destination: bytes) -> bytes:
        return _FRAME.pack(
            destination, self.sender_mac, ETHERTYPE, *ETHERNET_AND_IPV4, self.operation,
            self.sender_mac, self.sender.packed, self.target_mac, self.target.packed,
        )  # fmt: skip

    @classmethod
    def unpack(cls, frame: bytes) -> Self | None:
        """None if it is no ARP for IPv4 over Ethernet."""
        if len(frame) < _FRAME.size:
            return None
        _, _, ethertype, *kind, operation, sender_mac, sender, target_mac, target = _FRAME.unpack_from(frame)
        if ethertype != ETHERTYPE or tuple(kind) != ETHERNET_AND_IPV4:
            return None
        return cls(operation, sender_mac, IPv4Address(sender), target_mac, IPv4Address(target))

    @property
    def tells(self) -> bool:
        """Whether it says where its sender is: a reply, or an announcement to all."""
        return self.operation == REPLY or (self.operation == REQUEST and self.sender == self.target)


def probe(mac: bytes, target: IPv4Address) -> bytes:
    """A request without a sender: hosts with rp_filter answer it, while they ignore one from the source range."""
    return ArpFrame(REQUEST, mac, NOBODY, bytes(6), target).pack(BROADCAST)


def announcement(mac: bytes, address: IPv4Address) -> bytes:
    """Says to all where an address is (RFC 5227): who has asked in vain need not wait to ask again."""
    return ArpFrame(REQUEST, mac, address, bytes(6), address).pack(BROADCAST)


Heard = Callable[[str, IPv4Address, bytes], None]


class ArpSocket:
    """Sends frames out of devices, and tells `heard(device, address, mac)` of every host that shows itself."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETHERTYPE))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def send(self, device: str, frame: bytes) -> None:
        """Lost if the device is gone or its queue full: whoever asks, asks again."""
        with suppress(OSError):
            self._socket.sendto(frame, (device, ETHERTYPE))

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(FRAMES_AT_ONCE):
            try:
                frame, (device, *_) = self._socket.recvfrom(_FRAME.size)
            except OSError:
                return  # nothing more, or a device went away; the loop calls again if there is something
            arp = ArpFrame.unpack(frame)
            if arp and arp.tells:
                self._heard(device, arp.sender, arp.sender_mac)
