"""WebSockets that are never begun, never read or too many, on real sockets: each meets its limit."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from services.http_api.limits import Limits
from tests.support.limited_server import HANDSHAKE, QUICK, UPGRADE, Place, serving
from tests.support.nats import DEADLINE


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with serving(QUICK) as made:
        yield made


async def test_an_upgrade_whose_head_is_too_large_is_refused_as_any_and_its_connection_counted_once(
    place: Place,
) -> None:
    """It was signed off twice, and nobody was let in any more once fewer than none were connected."""
    for _ in range(3):
        async with place.peer() as peer:
            assert await peer.ask("GET / HTTP/1.1", *UPGRADE, f"X: {'y' * 2 * QUICK.head}") == 431
            await peer.ends()
    await place.empties()
    assert await place.works()


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5"],
        [f"X: {'y' * 8200}"],
        [f"X-{number}: y" for number in range(130)],
    ],
    ids=["body", "long line", "many headers"],
)
async def test_what_is_no_handshake_of_websockets_is_refused_and_its_connection_ends(lines: Sequence[str]) -> None:
    """It was neither answered nor closed, and counted nowhere."""
    async with serving(replace(QUICK, head=16_384)) as place:
        async with place.peer() as peer:
            assert await peer.ask("GET / HTTP/1.1", *HANDSHAKE, *lines) == 400
            assert json.loads(peer.said)["error_code"] == "EndPoint.0002"
            await peer.ends()
        await place.empties()
        assert await place.works()


async def test_websockets_count_with_the_connections_of_their_address_until_they_end(place: Place) -> None:
    async with AsyncExitStack() as peers:
        for _ in range(QUICK.connections_of_address):
            peer = await peers.enter_async_context(place.peer())
            assert await peer.ask("GET / HTTP/1.1", *HANDSHAKE) == 101
        async with place.peer() as beyond:
            assert await beyond.ask("GET / HTTP/1.1") == 0
        assert place.app.served == QUICK.connections_of_address
        assert len(place.protocol.connected) == QUICK.connections_of_address
    await place.empties()
    assert await place.works()


async def test_a_handshake_of_websockets_has_so_much_time(place: Place) -> None:
    async with place.peer() as peer, place.peer() as let_in:
        assert await let_in.ask("GET / HTTP/1.1", *HANDSHAKE) == 101
        assert await peer.ask("GET /hold HTTP/1.1", *HANDSHAKE) == 0
        await asyncio.sleep(2 * QUICK.handshake_seconds)
        assert place.app.served == 1, "who was let in stays"
    await place.empties()


async def test_handshakes_of_websockets_are_in_flight_until_somebody_is_let_in() -> None:
    async with serving(Limits(in_flight=2, in_flight_of_address=2)) as full, AsyncExitStack() as peers:
        one, two, three, four = [await peers.enter_async_context(full.peer()) for _ in range(4)]
        held = [asyncio.create_task(peer.ask("GET /hold HTTP/1.1", *HANDSHAKE)) for peer in (one, two)]
        async with asyncio.timeout(DEADLINE):
            while await three.ask("GET / HTTP/1.1") == 200:
                await asyncio.sleep(0.01)
        assert await four.ask("GET / HTTP/1.1", *HANDSHAKE) == 403
        full.app.open.set()
        assert await asyncio.gather(*held) == [101, 101]
        assert await three.ask("GET / HTTP/1.1") == 200


async def test_an_upgrade_before_the_answer_to_what_was_asked_on_its_connection_ends_both(place: Place) -> None:
    async with place.peer() as peer:
        peer.writer.write(b"GET /hold HTTP/1.1\r\nHost: here\r\n\r\n")
        assert await peer.ask("GET / HTTP/1.1", *HANDSHAKE) == 0
    await place.empties()
    assert await place.works()


async def test_a_client_that_does_not_read_what_a_websocket_says_is_cut_off(place: Place) -> None:
    async with place.peer() as peer:
        assert await peer.ask("GET /large HTTP/1.1", *HANDSHAKE) == 101
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined] # of a transport that reads
        await place.empties()
