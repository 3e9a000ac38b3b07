"""Hearing from the kernel that a network device, or an address of it, changed or went away."""

import asyncio
import socket
from collections.abc import Callable
from fcntl import ioctl
from struct import Struct

RTMGRP_LINK, RTMGRP_IPV4_IFADDR = 0x1, 0x10
RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR = 16, 17, 20, 21
SIOCGIFFLAGS = 0x8913
UP = 1  # IFF_UP
_HEADER = Struct("=IHHII")  # nlmsghdr
_INDEX = Struct("=4xi")  # ifinfomsg and ifaddrmsg begin alike: family and what fits beside it, then the index
_FLAGS_REQUEST = Struct("=16sH22x")  # ifreq

Changed = Callable[[int], None]


class LinkMonitor:
    """Tells `changed(ifindex)` of every device of this namespace, and `missed()` if some changes were lost.

    What it tells may be past: a device just made was down a moment ago. Look before you believe.
    """

    def __init__(self, changed: Changed, missed: Callable[[], None]) -> None:
        self._changed, self._missed = changed, missed
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS: the queue overflowed
            self._missed()
            return
        for ifindex in changed_links(data):
            self._changed(ifindex)


def changed_links(data: bytes) -> list[int]:
    """The index of every device that the netlink messages are about."""
    links, offset = [], 0
    while offset + _HEADER.size + _INDEX.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        if kind in (RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR):
            links.append(_INDEX.unpack_from(data, offset + _HEADER.size)[0])
        offset += max(_HEADER.size, -(-length // 4) * 4)
    return links


def is_up(name: str, ifindex: int) -> bool:
    """Whether the device is there under this index, and up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = ioctl(any_socket, SIOCGIFFLAGS, _FLAGS_REQUEST.pack(name.encode(), 0))
            return socket.if_nametoindex(name) == ifindex and bool(_FLAGS_REQUEST.unpack(answer)[1] & UP)
        except OSError:
            return False
