"""Servers and clients inside VPCs, on sockets that a network namespace made: who answered, and whom he saw."""

import asyncio
import json
import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self, cast

from tests.support.namespaces import Namespace

Address = tuple[str, int]


@dataclass(slots=True)
class TcpEcho:
    """Greets a connection with its own name and the client's address as one line of JSON, and echoes what comes."""

    name: str
    connections: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @classmethod
    async def start(cls, name: str, namespace: Namespace, address: str, port: int) -> Self:
        made = cls(name)
        made._server = await asyncio.start_server(made._serve, sock=namespace.tcp_listener(address, port))
        return made

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        greeting = {"name": self.name, "peer": writer.get_extra_info("peername")}
        try:
            writer.write(json.dumps(greeting).encode() + b"\n")
            while data := await reader.read(1 << 18):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


class UdpEcho(asyncio.DatagramProtocol):
    """Answers each datagram with one line of JSON as TcpEcho greets, followed by the datagram."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.datagrams = 0
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def start(cls, name: str, namespace: Namespace, address: str, port: int) -> "UdpEcho":
        sock = namespace.udp_socket(address, port)
        _, made = await asyncio.get_running_loop().create_datagram_endpoint(lambda: cls(name), sock=sock)
        return made

    async def stop(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # asyncio's own is no subclass before Python 3.12

    def datagram_received(self, data: bytes, addr: Address) -> None:
        assert self._transport is not None
        self.datagrams += 1
        self._transport.sendto(json.dumps({"name": self.name, "peer": addr}).encode() + b"\n" + data, addr)


@dataclass(slots=True)
class TcpClient:
    """One connection, and what the server said of itself."""

    backend: str
    seen_as: IPv4Address | IPv6Address
    seen_port: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connect(
        cls,
        namespace: Namespace,
        target: str,
        port: int,
        *,
        source: str = "",
        source_port: int = 0,
        patience: float = 5.0,
    ) -> Self | None:
        """None if nothing answers for `patience` seconds."""
        made = namespace.tcp_socket(source, source_port)
        try:
            async with asyncio.timeout(patience):
                await asyncio.get_running_loop().sock_connect(made, (target, port))
                reader, writer = await asyncio.open_connection(sock=made)
                greeting = json.loads(await reader.readline())
        except (TimeoutError, OSError):
            made.close()
            return None
        address, seen_port, *_ = greeting["peer"]
        return cls(greeting["name"], ip_address(address), seen_port, reader, writer)

    async def echoes(self, data: bytes = b"are you there?", patience: float = 5.0) -> bool:
        try:
            async with asyncio.timeout(patience):
                self.writer.write(data)
                return await self.reader.readexactly(len(data)) == data
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return False

    async def close(self) -> None:
        """With a FIN, and without waiting for an answer that may never come."""
        self.writer.close()


@dataclass(slots=True)
class UdpClient:
    """A socket that talks to one address."""

    sock: socket.socket
    target: Address
    backend: str = ""
    seen_as: IPv4Address | IPv6Address | None = None
    seen_port: int = 0

    @classmethod
    async def connect(
        cls,
        namespace: Namespace,
        target: str,
        port: int,
        *,
        source: str = "",
        source_port: int = 0,
        patience: float = 5.0,
    ) -> Self | None:
        made = cls(namespace.udp_socket(source, source_port), (target, port))
        if await made.echoes(patience=patience):
            return made
        await made.close()
        return None

    async def echoes(self, data: bytes = b"are you there?", patience: float = 5.0) -> bool:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(patience):
                await loop.sock_sendto(self.sock, data, self.target)
                answer, sender = await loop.sock_recvfrom(self.sock, 1 << 16)
        except (TimeoutError, OSError):
            return False
        greeting, _, echoed = answer.partition(b"\n")
        told = json.loads(greeting)
        self.backend, (address, self.seen_port, *_) = told["name"], told["peer"]
        self.seen_as = ip_address(address)
        return echoed == data and sender[:2] == self.target

    async def close(self) -> None:
        self.sock.close()
