"""Hosts of a VPC that do nothing but say where they are, each by a MAC address of its own: by ARP, or to neighbours."""

import asyncio
from collections.abc import Collection
from ipaddress import IPv6Address

from services.gateway_agent.dataplane import nd
from services.gateway_agent.dataplane.arp import REPLY, REQUEST, ArpFrame
from services.gateway_agent.table import Address
from tests.support.namespaces import Namespace
from tests.support.wire import ALL, ARP, IPV6, OUTGOING


class ArpHosts:
    """On the device sidegate0 of a namespace; it answers while the event loop runs."""

    def __init__(self, namespace: Namespace, addresses: Collection[Address], label: int) -> None:
        self.macs = {each: bytes([2, 0xBB, label, 0, each.version, each.packed[-1]]) for each in addresses}
        self.silent, self.sent = False, 0
        self._socket = namespace.packet_socket(ALL)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        frame, (_, _, direction, *_) = self._socket.recvfrom(1 << 16)
        answer = None if self.silent or direction == OUTGOING else self._answer(frame)
        if answer is not None:
            self._socket.send(answer)
            self.sent += 1

    def _answer(self, frame: bytes) -> bytes | None:
        match int.from_bytes(frame[12:14], "big"):
            case arp if arp == ARP:
                asked = ArpFrame.unpack(frame)
                mac = self.macs.get(asked.target) if asked and asked.operation == REQUEST else None
                if asked is None or mac is None or asked.sender == asked.target:
                    return None
                return ArpFrame(REPLY, mac, asked.target, asked.sender_mac, asked.sender).pack(asked.sender_mac)
            case ipv6 if ipv6 == IPV6 and len(frame) >= 78 and frame[54] == nd.SOLICITATION:
                address = IPv6Address(frame[62:78])
                return nd.announcement(self.macs[address], address) if address in self.macs else None
            case _:
                return None
