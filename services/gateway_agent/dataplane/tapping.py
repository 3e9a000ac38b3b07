"""Packets of one endpoint on both sides of the gateway, by packet sockets with a filter in the kernel.

A packet socket sees what comes in by a device before our program does, and what goes out as it goes. The other end of
a veth is entered around the way out (bpf_redirect_peer), so there the socket is at that end, in the tenant's namespace,
where both directions pass.
"""

import asyncio
import socket
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv6Address, ip_network
from struct import Struct

from services.gateway_agent.captures import Captured, Side, TappedDevice
from services.gateway_agent.dataplane.kernel_table import KernelTable
from services.gateway_agent.dataplane.listening import EVERY_PROTOCOL, attach
from services.gateway_agent.dataplane.namespaces import in_namespace, namespace_identity
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.dataplane.resolution import Resolution
from services.gateway_agent.dataplane.tap_filters import frames_of, words_of
from services.gateway_agent.routes import ranges
from services.gateway_agent.table import SOURCE_PREFIX_V6, Address, Endpoint, Network
from services.gateway_agent.targets import Netns

SOL_PACKET, PACKET_STATISTICS, PACKET_AUXDATA = 263, 6, 8
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
BUFFER_BYTES = 4 * 1024 * 1024  # of each socket; the kernel doubles it
MOST_WAITING = 20_000
MOST_WAITING_BYTES = 32 * 1024 * 1024
FRAMES_AT_ONCE = 64
LOOK_SECONDS = 0.5
SECOND = 1_000_000_000
_AUXILIARY = Struct("=IIIHHHH")  # struct tpacket_auxdata: status, length, how much of it, ...
_STATISTICS = Struct("=II")  # struct tpacket_stats: packets, drops
_MOMENT = Struct("@qq")
ROOM = socket.CMSG_SPACE(_AUXILIARY.size) + socket.CMSG_SPACE(_MOMENT.size)


class _Tap:
    """One device's packets."""

    def __init__(self, device: TappedDevice, number: int, addresses: Sequence[Network], snap: int) -> None:
        self._number, self._snap = number, snap
        self._far_end = bool(device.namespace)
        if device.namespace:
            self.socket = in_namespace(device.namespace, lambda _: self._open(device.name, addresses))
        else:
            self.socket = self._open(device.name, addresses)
        self._dropped = 0

    def _open(self, device: str, addresses: Sequence[Network]) -> socket.socket:
        """Filtered before it hears anything: what came in between would be of somebody else's."""
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
            tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            tap.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            attach(tap, frames_of(addresses, self._snap))
            tap.bind((device, EVERY_PROTOCOL))
        except BaseException:
            tap.close()
            raise
        return tap

    def read(self) -> Captured | None:
        """None: there is no more. Raises OSError where the device went away."""
        try:
            data, auxiliary, _, address = self.socket.recvmsg(self._snap, ROOM)
        except BlockingIOError:
            return None
        length, at = len(data), 0
        for level, kind, content in auxiliary:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                length = _AUXILIARY.unpack(content)[1]
            elif (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = _MOMENT.unpack(content)
                at = seconds * SECOND + nanoseconds
        # What leaves the far end of a veth comes in here.
        outbound = (address[2] == socket.PACKET_OUTGOING) is not self._far_end
        return Captured(self._number, at, outbound, length, data)

    def dropped(self) -> int:
        """Reading the kernel's count sets it to 0."""
        _, drops = _STATISTICS.unpack(self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, _STATISTICS.size))
        self._dropped += drops
        return self._dropped


class Tapping:
    """Implements `captures.Capture`. Of an event loop that runs; forwarding does not notice it."""

    def __init__(self, devices: Sequence[TappedDevice], addresses: Sequence[Sequence[Network]], snap: int) -> None:
        self.devices = devices
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Captured] = deque()
        self._bytes, self._left_out = 0, 0
        self._news = asyncio.Event()
        self._gone = False
        self._namespaces = {each.namespace: namespace_identity(each.namespace) for each in devices if each.namespace}
        self._taps: list[_Tap] = []
        try:
            for number, device in enumerate(devices):
                self._taps.append(_Tap(device, number, addresses[number], snap))
        except BaseException:
            self.close()
            raise
        for tap in self._taps:
            self._loop.add_reader(tap.socket, self._read, tap)

    async def batch(self) -> Sequence[Captured]:
        while not self._news.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news.wait()
            self._look()
        if not self._waiting:
            raise NotReady("a device that packets were taken on went away")
        return self._so_far()

    def _so_far(self) -> Sequence[Captured]:
        """What was seen on every side until now: each is read for itself, so that one may be ahead of the others."""
        moment = time.time_ns()
        for tap in self._taps:
            self._read(tap)
        captured = sorted(self._waiting, key=lambda each: each.at)
        ahead = bisect_right(captured, moment, key=lambda each: each.at) or len(captured)  # a clock may be set back
        self._waiting = deque(captured[ahead:])
        self._bytes = sum(len(each.data) for each in self._waiting)
        if not self._gone and not self._waiting:
            self._news.clear()
        return captured[:ahead]

    def dropped(self) -> int:
        return self._left_out + sum(tap.dropped() for tap in self._taps)

    def close(self) -> None:
        for tap in self._taps:
            self._loop.remove_reader(tap.socket)
            tap.socket.close()
        self._taps.clear()

    def _look(self) -> None:
        """A namespace that somebody deletes lives on as long as our socket is in it, and its devices with it."""
        now = {device.namespace: namespace_identity(device.namespace) for device in self.devices if device.namespace}
        if now != self._namespaces:
            self._gone = True
            self._news.set()

    def _read(self, tap: _Tap) -> None:
        for _ in range(FRAMES_AT_ONCE):
            try:
                captured = tap.read()
            except OSError:
                self._loop.remove_reader(tap.socket)
                self._gone = True
                self._news.set()
                return
            if captured is None:
                return
            self._take(captured)

    def _take(self, captured: Captured) -> None:
        if len(self._waiting) >= MOST_WAITING or self._bytes >= MOST_WAITING_BYTES:
            self._left_out += 1
            return
        self._bytes += len(captured.data)
        self._waiting.append(captured)
        self._news.set()


def tap_endpoint(table: KernelTable, resolution: Resolution, endpoint: str, snap: int) -> Tapping | None:
    """None if it is not in the table. Raises NotReady where a side has no device, or OSError."""
    known = table.entries.endpoint(endpoint)
    service = table.entries.service(known.service) if known else None
    if known is None or service is None:
        return None
    consumer = [*ranges(known.routes)] or [_only(known.address)]
    provider = [*map(_only, seen_as(known))]
    if known.vpc == service.vpc:
        sides = [(Side.BOTH, known.vpc, [*consumer, *provider])]
    else:
        sides = [(Side.CONSUMER, known.vpc, consumer), (Side.PROVIDER, service.vpc, provider)]
    devices = [_device(table, resolution, side, vpc, addresses) for side, vpc, addresses in sides]
    return Tapping(devices, [addresses for _, _, addresses in sides], snap)


def seen_as(endpoint: Endpoint) -> list[Address]:
    """What backends see its clients as."""
    leased = (endpoint.source_address, *endpoint.more_sources)
    if _is_v4(endpoint.address):
        return [*leased]
    return [IPv6Address(int(SOURCE_PREFIX_V6.network_address) | int(each)) for each in leased]


def _only(address: Address) -> Network:
    return ip_network(address)


def _is_v4(address: Address) -> bool:
    return address.version == 4


def _device(
    table: KernelTable, resolution: Resolution, side: Side, vpc: str, addresses: Sequence[Network]
) -> TappedDevice:
    attachment, name = table.entries.attachment(vpc), None
    with suppress(KeyError):
        name = resolution.device_of(table.vpc_number(vpc))
    if attachment is None or name is None:
        raise NotReady(f"no device faces the {side}'s VPC {vpc}")
    match attachment.target:
        case Netns(namespace, device):
            return TappedDevice(side, device, namespace, words_of(addresses))
        case _:
            return TappedDevice(side, name, "", words_of(addresses))
