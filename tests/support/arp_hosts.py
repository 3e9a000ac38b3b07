"""Hosts of a VPC that do nothing but answer ARP, each by a MAC address of its own."""

import asyncio
from collections.abc import Collection
from ipaddress import IPv4Address

from services.gateway_agent.dataplane.arp import REPLY, REQUEST, ArpFrame
from tests.support.namespaces import Namespace
from tests.support.wire import ARP


class ArpHosts:
    """On the device sidegate0 of a namespace; it answers while the event loop runs."""

    def __init__(self, namespace: Namespace, addresses: Collection[IPv4Address], label: int) -> None:
        self.macs = {address: bytes([2, 0xBB, label, 0, 0, address.packed[-1]]) for address in addresses}
        self.silent, self.sent = False, 0
        self._socket = namespace.packet_socket(ARP)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        asked = ArpFrame.unpack(self._socket.recv(1 << 16))
        mac = self.macs.get(asked.target) if asked and asked.operation == REQUEST else None
        if asked and mac and asked.sender != asked.target and not self.silent:
            answer = ArpFrame(REPLY, mac, asked.target, asked.sender_mac, asked.sender)
            self._socket.send(answer.pack(asked.sender_mac))
            self.sent += 1
