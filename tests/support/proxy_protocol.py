"""Backends that understand the PROXY protocol, version 2: a small one of our own, and HAProxy."""

import asyncio
import json
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple, Self

from services.gateway_agent.dataplane.haproxy import find_haproxy
from tests.support.namespaces import Namespace

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6 = 0x11, 0x21
UNIQUE_ID = 0x05
PATIENCE = 10.0
HAPROXY = """
global
    maxconn 100
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend told
    bind {address}:{port} {expecting}
    http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[fc_pp_unique_id]"
"""


class Told(NamedTuple):
    """What a header says: who has connected to what, and the TLV of type 0x05."""

    client: IPv4Address | IPv6Address | None
    client_port: int
    address: IPv4Address | IPv6Address | None
    port: int
    unique_id: str


async def read_header(reader: asyncio.StreamReader) -> Told:
    """Raises AssertionError for what is no header."""
    signature, command, kind, length = struct.unpack("!12sBBH", await reader.readexactly(16))
    assert signature == SIGNATURE, signature
    rest = await reader.readexactly(length)
    if command == LOCAL:
        return Told(None, 0, None, 0, "")
    assert command == PROXY
    size = {TCP4: 4, TCP6: 16}[kind]
    client, address, rest = rest[:size], rest[size : 2 * size], rest[2 * size :]
    client_port, port = struct.unpack_from("!HH", rest)
    tlvs, rest = {}, rest[4:]
    while rest:
        type_, length = struct.unpack_from("!BH", rest)
        tlvs[type_], rest = rest[3 : 3 + length], rest[3 + length :]
    return Told(ip_address(client), client_port, ip_address(address), port, tlvs[UNIQUE_ID].decode("ascii"))


@dataclass
class ToldServer:
    """Reads the header that each connection must begin with, says what it says, and then repeats what it hears."""

    name: str
    told: list[Told] = field(default_factory=list)
    peers: list[IPv4Address | IPv6Address] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def serving(cls, name: str, namespace: Namespace, address: str, port: int) -> AsyncIterator[Self]:
        made, writers = cls(name), set[asyncio.StreamWriter]()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.add(writer)
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await made._serve(reader, writer)
            writer.close()

        server = await asyncio.start_server(serve, sock=namespace.tcp_listener(address, port))
        try:
            yield made
        finally:
            server.close()
            for writer in writers:
                writer.transport.abort()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            told = await read_header(reader)
        except (AssertionError, KeyError) as error:
            self.refused.append(repr(error))
            return
        self.told.append(told)
        peer = writer.get_extra_info("peername")[0]
        self.peers.append(ip_address(peer))
        if told.client is None:  # a proxy's own connection: it goes on like any other
            await reader.read()
            return
        # As `hosts.TcpEcho` greets, so that `hosts.TcpClient` understands it.
        writer.write(json.dumps({"name": self.name, "peer": [str(told.client), told.client_port]}).encode() + b"\n")
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


@contextmanager
def haproxy_backend(
    namespace: Namespace, address: str, port: int, directory: Path, *, expecting: str = "accept-proxy"
) -> Iterator[None]:
    """A web server that answers with what the header of its connection says."""
    program, file = find_haproxy(), directory / "backend.cfg"
    assert program, "this test needs HAProxy: make setup-test"
    file.write_text(HAPROXY.format(address=address, port=port, expecting=expecting))
    process = namespace.run(lambda: subprocess.Popen([program, "-db", "-f", str(file)], stderr=subprocess.DEVNULL))
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


async def get(namespace: Namespace, source: str, address: str, port: int) -> str:
    """The body of an HTTP answer, as soon as there is one."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                return await _get(namespace.tcp_socket(source), address, port)
            await asyncio.sleep(0.05)


async def _get(mouth: socket.socket, address: str, port: int) -> str:
    try:
        await asyncio.get_running_loop().sock_connect(mouth, (address, port))
        reader, writer = await asyncio.open_connection(sock=mouth)
    except BaseException:
        mouth.close()
        raise
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    if b" 200 " not in head:
        raise ConnectionRefusedError(head)
    return body.decode()
