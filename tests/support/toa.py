"""Servers that read of a connection's SYN who the client is, as a backend does that is told by TOA."""

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

from services.gateway_agent.table import Address
from tests.support.namespaces import Namespace

TCP_SAVE_SYN, TCP_SAVED_SYN = 27, 28  # of linux/tcp.h
OPTION_TOA = 254
PATIENCE = 10.0
HELLO = b"hello"

Client = tuple[Address, int]


def read_options(options: bytes) -> dict[int, bytes]:
    """Up to the end of the list, the last of a kind counts."""
    found, at = {}, 0
    while at < len(options) and options[at] != 0:
        length = 1 if options[at] == 1 else options[at + 1]
        found[options[at]] = options[at + 2 : at + length]
        at += length
    return found


def told_of_client(syn: bytes) -> Client | None:
    """The client that the IP packet of a SYN names."""
    tcp = syn[20:] if syn[0] >> 4 == 4 else syn[40:]
    option = read_options(tcp[20 : (tcp[12] >> 4) * 4]).get(OPTION_TOA)
    return (ip_address(option[2:]), int.from_bytes(option[:2], "big")) if option else None


@dataclass
class ToaServer:
    """Says hello, and reads of each connection the SYN that opened it."""

    listener: socket.socket

    @classmethod
    def at(cls, namespace: Namespace, address: str, port: int = 8080) -> Self:
        listener = namespace.tcp_socket(address, port)
        listener.setsockopt(socket.IPPROTO_TCP, TCP_SAVE_SYN, 1)
        listener.listen(16)
        return cls(listener)

    async def told(self) -> Client | None:
        """Of the next connection."""
        async with asyncio.timeout(PATIENCE):
            connection, _ = await asyncio.get_running_loop().sock_accept(self.listener)
        with connection:
            await asyncio.get_running_loop().sock_sendall(connection, HELLO)
            return told_of_client(connection.getsockopt(socket.IPPROTO_TCP, TCP_SAVED_SYN, 256))

    def close(self) -> None:
        self.listener.close()


async def ask(namespace: Namespace, client: str, to: tuple[str, int]) -> Client:
    """Connects, waits for the server's word, and gives its own address and port."""
    with namespace.tcp_socket(client) as mouth:
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_connect(mouth, to)
            assert await asyncio.get_running_loop().sock_recv(mouth, len(HELLO)) == HELLO
        return ip_address(client), int(mouth.getsockname()[1])
