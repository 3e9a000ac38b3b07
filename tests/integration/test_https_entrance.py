"""The real server with TLS, on both event loops: who does not speak TLS yet is counted and has little time."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import uvloop

from services.common.https.server import HttpsServer
from services.http_api.limits import Gate, limited
from services.http_api.limits.protocol import bounded
from tests.support import identity
from tests.support.limited_server import HANDSHAKE, QUICK, Echo, Peer, Place
from tests.support.nats import DEADLINE

FEW = replace(QUICK, connections_of_address=3, tls_seconds=1.0)
Run = Callable[[Coroutine[Any, Any, None]], None]


class Secured(Place):
    """A server that speaks TLS."""

    @asynccontextmanager
    async def peer(self) -> AsyncIterator[Peer]:
        trust = ssl.create_default_context(cadata=identity.ca().decode())
        reader, writer = await asyncio.open_connection("localhost", self.port, ssl=trust)
        try:
            yield Peer(reader, writer)
        finally:
            writer.transport.abort()

    @asynccontextmanager
    async def silent(self) -> AsyncIterator[Peer]:
        """One that is connected, and no more."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Peer(reader, writer)
        finally:
            writer.transport.abort()


@asynccontextmanager
async def secured() -> AsyncIterator[Secured]:
    app, protocol = Echo(), bounded(FEW)
    server = HttpsServer(
        limited(app, Gate(FEW)), "127.0.0.1:0", identity.directory_of("http_api"), protocol, websockets=True
    )
    address = await server.start()
    try:
        yield Secured(int(address.rpartition(":")[2]), app, protocol)
    finally:
        app.open.set()
        await server.stop()


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


def test_who_does_not_speak_tls_is_counted_with_its_address_and_has_little_time(run: Run) -> None:
    """It was counted nowhere, and kept for a minute."""

    async def played() -> None:
        async with secured() as place, AsyncExitStack() as peers:
            began = time.monotonic()
            silent = [await peers.enter_async_context(place.silent()) for _ in range(FEW.connections_of_address)]
            with pytest.raises(OSError):  # of ssl, or of the connection
                await place.works()
            for peer in silent:
                await peer.ends()
            assert time.monotonic() - began < 5 * FEW.tls_seconds
            await place.empties()
            assert await place.works()

    run(played())


def test_what_is_no_tls_holds_no_place(run: Run) -> None:
    async def played() -> None:
        async with secured() as place:
            for _ in range(2 * FEW.connections_of_address):
                async with place.silent() as peer:
                    assert await peer.ask("GET / HTTP/1.1") == 0
                async with place.silent():
                    pass
            await place.empties()
            assert await place.works()

    run(played())


def test_a_connection_is_counted_once_from_its_beginning_to_its_end(run: Run) -> None:
    async def played() -> None:
        async with secured() as place:
            async with AsyncExitStack() as peers:
                for _ in range(FEW.connections_of_address):
                    peer = await peers.enter_async_context(place.peer())
                    assert await peer.ask("GET / HTTP/1.1") == 200
                assert len(place.protocol.connected) == FEW.connections_of_address
                assert await peer.ask("GET / HTTP/1.1", *HANDSHAKE) == 101
                assert len(place.protocol.connected) == FEW.connections_of_address
            await place.empties()
            async with place.peer() as peer:
                assert await peer.ask("GET / HTTP/1.1", *HANDSHAKE, "Content-Length: 5") == 400
                await peer.ends()
            async with place.peer() as peer:
                assert await peer.ask("GET / HTTP/1.1", *HANDSHAKE, f"X: {'y' * FEW.head}") == 431
            await place.empties()
            assert await place.works()

    run(played())


def test_the_server_ends_at_once_whoever_has_not_spoken_tls(run: Run) -> None:
    async def played() -> None:
        async with asyncio.timeout(DEADLINE), AsyncExitStack() as peers:
            async with secured() as place:
                peer = await peers.enter_async_context(place.silent())
                while not len(place.protocol.connected):
                    await asyncio.sleep(0.01)
                began = time.monotonic()
            assert time.monotonic() - began < FEW.tls_seconds
            await peer.ends()

    run(played())
