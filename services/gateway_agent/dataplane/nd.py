"""Neighbour discovery (RFC 4861): asking hosts of a VPC for their MAC address, and hearing what they answer."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address
from struct import Struct
from typing import Self

from services.gateway_agent.dataplane.listening import ADVERTISEMENT, advertisements, attach
from services.gateway_agent.dataplane.segments import checksum

ETHERTYPE = 0x86DD
SOLICITATION = 135
HOP_LIMIT = 255
OVERRIDE, SOLICITED = 0x20000000, 0x40000000
TARGET_LINK_LAYER_ADDRESS = 2
NOBODY = IPv6Address("::")  # who asks has no address here: hosts then answer all of the link
ALL_NODES = IPv6Address("ff02::1")
SOLICITED_NODE = int(IPv6Address("ff02::1:ff00:0"))
FRAMES_AT_ONCE = 64  # then others of the event loop have their turn, however much a tenant sends
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_ALLMULTI = 263, 1, 2

_ETHERNET = Struct(">6s6sH")
_IPV6 = Struct(">IHBB16s16s")
_MESSAGE = Struct(">BBHI16s")
_OPTION = Struct(">BB6s")
_MEMBERSHIP = Struct("=iHH8s")
LONGEST = 256


@dataclass(frozen=True, slots=True)
class Advertisement:
    """A host says where an address is."""

    address: IPv6Address
    mac: bytes

    @classmethod
    def unpack(cls, frame: bytes) -> Self | None:
        """None if it is none, or not from a neighbour. Where it does not say its MAC address, the sender's is meant."""
        start = _ETHERNET.size + _IPV6.size
        if len(frame) < start + _MESSAGE.size:
            return None
        _, sender, ethertype = _ETHERNET.unpack_from(frame)
        _, length, following, hops, source, destination = _IPV6.unpack_from(frame, _ETHERNET.size)
        body = frame[start : start + length]
        if (ethertype, following, hops) != (ETHERTYPE, socket.IPPROTO_ICMPV6, HOP_LIMIT) or len(body) < _MESSAGE.size:
            return None
        kind, code, _, _, target = _MESSAGE.unpack_from(body)
        if (kind, code) != (ADVERTISEMENT, 0) or checksum(_pseudo(source, destination, len(body)) + body):
            return None
        return cls(IPv6Address(target), _link_layer_address(body[_MESSAGE.size :]) or sender)


def _link_layer_address(options: bytes) -> bytes | None:
    while len(options) >= _OPTION.size and options[1]:
        kind, _, mac = _OPTION.unpack_from(options)
        if kind == TARGET_LINK_LAYER_ADDRESS:
            return bytes(mac)
        options = options[options[1] * _OPTION.size :]
    return None


def probe(mac: bytes, target: IPv6Address) -> bytes:
    """A solicitation without a sender, as of one who wants to know whether the address is free: who has it says so."""
    group = IPv6Address(SOLICITED_NODE | int(target) & 0xFFFFFF)
    return _frame(mac, NOBODY, group, _MESSAGE.pack(SOLICITATION, 0, 0, 0, target.packed))


def announcement(mac: bytes, address: IPv6Address) -> bytes:
    """Says to all where an address is: who has asked in vain need not wait to ask again."""
    option = _OPTION.pack(TARGET_LINK_LAYER_ADDRESS, 1, mac)
    return _frame(mac, address, ALL_NODES, _MESSAGE.pack(ADVERTISEMENT, 0, 0, OVERRIDE, address.packed) + option)


def _frame(mac: bytes, source: IPv6Address, group: IPv6Address, body: bytes) -> bytes:
    check = checksum(_pseudo(source.packed, group.packed, len(body)) + body)
    header = _IPV6.pack(6 << 28, len(body), socket.IPPROTO_ICMPV6, HOP_LIMIT, source.packed, group.packed)
    destination = b"\x33\x33" + group.packed[-4:]
    return _ETHERNET.pack(destination, mac, ETHERTYPE) + header + body[:2] + check.to_bytes(2, "big") + body[4:]


def _pseudo(source: bytes, destination: bytes, length: int) -> bytes:
    return source + destination + length.to_bytes(4, "big") + socket.IPPROTO_ICMPV6.to_bytes(4, "big")


Heard = Callable[[str, IPv6Address, bytes], None]


class NdSocket:
    """Sends frames out of devices, and tells `heard(device, address, mac)` of every host that shows itself."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETHERTYPE))
        attach(self._socket, advertisements())
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def join(self, index: int) -> None:
        """Hears what is sent to groups on a device whose hardware would leave it out."""
        with suppress(OSError):
            membership = _MEMBERSHIP.pack(index, PACKET_MR_ALLMULTI, 0, bytes(8))
            self._socket.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)

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
                frame, (device, *_) = self._socket.recvfrom(LONGEST)
            except OSError:
                return  # nothing more, or a device went away; the loop calls again if there is something
            if said := Advertisement.unpack(frame):
                self._heard(device, said.address, said.mac)
