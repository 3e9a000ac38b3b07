"""A server with the limits of the HTTPS API, on a real socket, and clients of it that write what they like."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn
from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.http_api.limits import Gate, Limits, limited
from services.http_api.limits.protocol import BoundedProtocol, bounded
from tests.support.nats import DEADLINE

QUICK = Limits(
    head=4096,
    idle_seconds=3.0,
    head_seconds=0.4,
    body=8192,
    body_seconds=0.4,
    send_seconds=0.4,
    linger_seconds=0.4,
    connections=40,
    connections_of_address=20,
    handshake_seconds=0.4,
)
MEGABYTE = 1 << 20
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
HANDSHAKE = (*UPGRADE, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")


class Echo:
    """Answers with how much it was sent; `/large` with much, `/hold` when it is told to, `/stream` without end."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.served = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self.talk(WebSocket(scope, receive, send))
            return
        body = await Request(scope, receive).body()
        if scope["path"] == "/hold":
            await self.open.wait()
        if scope["path"] == "/stream":
            await EventSourceResponse(self.events())(scope, receive, send)
            return
        self.served += 1
        answer: Response = JSONResponse({"bytes": len(body)})
        if scope["path"] == "/large":
            answer = PlainTextResponse("x" * (64 * MEGABYTE))
        await answer(scope, receive, send)

    async def events(self) -> AsyncIterator[str]:
        self.served += 1
        try:
            while True:
                yield "tick"
                await asyncio.sleep(0.05)
        finally:
            self.served -= 1

    async def talk(self, socket: WebSocket) -> None:
        """`/hold` waits before it lets anybody in; `/large` says much."""
        if socket.url.path == "/hold":
            await self.open.wait()
        with suppress(WebSocketDisconnect):
            await socket.accept()
            self.served += 1
            while socket.url.path == "/large":
                await socket.send_bytes(bytes(MEGABYTE))
            await socket.receive()
            self.served -= 1


class Peer:
    """A client that writes what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, *lines: str, body: bytes = b"") -> int:
        self.writer.write("\r\n".join([*lines, "Host: here", "", ""]).encode() + body)
        return await self.status()

    async def status(self) -> int:
        """The status of the next answer, with its body read; 0 where the connection ends without one."""
        async with asyncio.timeout(DEADLINE):
            try:
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            except (asyncio.IncompleteReadError, ConnectionError):
                return 0
            length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
            self.said = await self.reader.readexactly(length)
        return int(head.split()[1])

    async def ends(self) -> None:
        """Waits for the connection's end."""
        async with asyncio.timeout(DEADLINE):
            try:
                while await self.reader.read(MEGABYTE):
                    pass
            except ConnectionError:
                return


class Place:
    """A server with limits."""

    def __init__(self, port: int, app: Echo, protocol: type[BoundedProtocol]) -> None:
        self.port, self.app, self.protocol = port, app, protocol

    @asynccontextmanager
    async def peer(self) -> AsyncIterator[Peer]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=4 * MEGABYTE)
        try:
            yield Peer(reader, writer)
        finally:
            writer.transport.abort()

    async def works(self) -> bool:
        async with self.peer() as peer:
            return await peer.ask("GET / HTTP/1.1") == 200

    async def empties(self) -> None:
        """Waits until nobody is connected."""
        async with asyncio.timeout(DEADLINE):
            while len(self.protocol.connected):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(limits: Limits) -> AsyncIterator[Place]:
    app, protocol = Echo(), bounded(limits)
    config = uvicorn.Config(limited(app, Gate(limits)), http=protocol, lifespan="off", log_config=None, port=0)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(DEADLINE):
            while not server.started:
                await asyncio.sleep(0)
        (listening,) = server.servers
        assert issubclass(protocol, BoundedProtocol)
        yield Place(listening.sockets[0].getsockname()[1], app, protocol)
    finally:
        app.open.set()
        server.should_exit = True
        await task
