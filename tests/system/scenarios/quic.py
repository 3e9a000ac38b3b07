"""A real QUIC server and client (aioquic) on sockets of network namespaces: one long flow of datagrams."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from services.common.identity.pki import CA_FILE, CERTIFICATE_FILE, KEY_FILE, Authority, Subject
from tests.system.scenarios.stage import Host

NAME = "quic.example"
PROTOCOL = "echo"
PORT = 8443
PATIENCE = 30.0
_running: set[asyncio.Task[None]] = set()


@contextlib.asynccontextmanager
async def server(host: Host, directory: Path) -> AsyncIterator[list[str]]:
    """Sends back what it hears on every stream; gives the addresses that it was connected to from."""
    seen: list[str] = []
    authority = Authority(directory / "quic-authority", "quic")
    authority.provide(directory / "quic", Subject(NAME, f"quic:{NAME}", (NAME,)))
    configuration = QuicConfiguration(is_client=False, alpn_protocols=[PROTOCOL])
    configuration.load_cert_chain(directory / "quic" / CERTIFICATE_FILE, directory / "quic" / KEY_FILE)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(echo(reader, writer))
        _running.add(task)
        task.add_done_callback(_running.discard)

    class Seeing(QuicServer):
        def datagram_received(self, data: bytes | str, addr: tuple[str, int]) -> None:
            if not seen or seen[-1] != addr[0]:
                seen.append(addr[0])
            super().datagram_received(data, addr)

    ear = host.space.udp_socket(host.address, PORT)
    transport, made = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Seeing(configuration=configuration, stream_handler=accept), sock=ear
    )
    try:
        yield seen
    finally:
        made.close()
        transport.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read())
    writer.write_eof()


class Flow:
    """One connection of a client, on one socket."""

    def __init__(self, protocol: QuicConnectionProtocol) -> None:
        self._protocol = protocol

    async def ping(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._protocol.ping()

    async def echoed(self, data: bytes) -> bytes:
        """What comes back of it, on a stream of its own."""
        async with asyncio.timeout(PATIENCE):
            reader, writer = await self._protocol.create_stream()
            writer.write(data)
            writer.write_eof()
            return await reader.read()


@contextlib.asynccontextmanager
async def connected(host: Host, address: str, port: int, directory: Path) -> AsyncIterator[Flow]:
    """A connection to the server, whose certificate is verified."""
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=[PROTOCOL], server_name=NAME, verify_mode=ssl.CERT_REQUIRED
    )
    configuration.load_verify_locations(str(directory / "quic" / CA_FILE))
    mouth = host.space.udp_socket()
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: QuicConnectionProtocol(QuicConnection(configuration=configuration)), sock=mouth
    )
    try:
        async with asyncio.timeout(PATIENCE):
            protocol.connect((address, port))
            await protocol.wait_connected()
        yield Flow(protocol)
        protocol.close()
        async with asyncio.timeout(PATIENCE):
            await protocol.wait_closed()
    finally:
        transport.close()
