"""Clients that are too slow, too large or too many, on real sockets: each meets its limit, and others are served."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

import pytest
import uvicorn
from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.http_api.errors import Refused
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


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with serving(QUICK) as made:
        yield made


async def test_a_head_that_comes_byte_by_byte_is_cut_off_and_others_are_served_meanwhile(place: Place) -> None:
    async with place.peer() as slow:
        slow.writer.write(b"GET / HT")
        assert await place.works()
        assert await slow.status() == 408
        assert json.loads(slow.said)["error_code"] == "EndPoint.0013"
        await slow.ends()


async def test_a_connection_that_was_opened_ahead_of_time_is_kept_and_in_the_end_closed_without_a_word(
    place: Place,
) -> None:
    """Browsers have such. They were told 408 once a request's head had had its time, though none was under way."""
    async with place.peer() as slow, place.peer() as early, place.peer() as silent:
        slow.writer.write(b"GET / HT")
        assert await slow.status() == 408
        assert await early.ask("GET / HTTP/1.1") == 200
        assert await silent.status() == 0


async def test_the_second_request_of_a_connection_has_no_more_time_than_the_first(place: Place) -> None:
    async with place.peer() as peer:
        assert await peer.ask("GET / HTTP/1.1") == 200
        peer.writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
        assert await peer.status() == 408


async def test_a_body_that_comes_too_slowly_is_refused_and_holds_no_place(place: Place) -> None:
    async with place.peer() as peer:
        assert await peer.ask("POST / HTTP/1.1", "Content-Length: 100", body=b"x") == 408
        assert place.app.served == 0
        await peer.ends()


@pytest.mark.parametrize("framing", ["declared", "chunked"])
async def test_a_hundred_megabytes_are_refused_before_they_are_in_memory(place: Place, framing: str) -> None:
    async with place.peer() as peer:
        line = f"Content-Length: {100 * MEGABYTE}" if framing == "declared" else "Transfer-Encoding: chunked"
        chunk = b"x" * MEGABYTE
        peer.writer.write(f"POST / HTTP/1.1\r\nHost: here\r\n{line}\r\n\r\n".encode())
        answer = asyncio.create_task(peer.status())
        try:
            for _ in range(100):
                peer.writer.write(chunk if framing == "declared" else b"100000\r\n" + chunk + b"\r\n")
                await peer.writer.drain()
        except ConnectionError:
            pass
        assert await answer in (413, 431, 0)
        assert place.app.served == 0
    assert await place.works()


async def test_a_body_just_within_its_limit_is_served_and_a_byte_more_is_not(place: Place) -> None:
    async with place.peer() as peer:
        fits = b"x" * QUICK.body
        assert await peer.ask("POST / HTTP/1.1", f"Content-Length: {len(fits)}", body=fits) == 200
        assert json.loads(peer.said) == {"bytes": QUICK.body}
        assert await peer.ask("POST / HTTP/1.1", f"Content-Length: {len(fits) + 1}", body=fits + b"x") == 413
        assert await peer.ask("GET / HTTP/1.1") == 200  # what was too much has been read, and thrown away


async def test_a_connection_whose_body_was_read_after_its_answer_is_not_kept_for_ever(place: Place) -> None:
    """Its timer had gone with the rest of the body, and nothing set another."""
    async with place.peer() as peer:
        much = QUICK.body + 1
        assert await peer.ask("POST / HTTP/1.1", f"Content-Length: {much}", body=b"x") == 413
        peer.writer.write(b"x" * (much - 1))
        assert await peer.ask("GET / HTTP/1.1") == 200
        assert await peer.ask("POST / HTTP/1.1", f"Content-Length: {much}", body=b"x") == 413
        peer.writer.write(b"x" * (much - 1))
        assert await peer.status() == 0
        await peer.ends()


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(2000)),
        b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000,
        b"GET /" + b"y" * 100_000,
    ],
    ids=["many headers", "one header", "path"],
)
async def test_a_bomb_of_headers_is_refused_as_soon_as_it_is_too_large(place: Place, head: bytes) -> None:
    async with place.peer() as peer:
        peer.writer.write(head)
        assert await peer.status() in (431, 400)
        await peer.ends()
    assert place.app.served == 0
    assert await place.works()


@pytest.mark.parametrize("parts", [1, 2, 5])
async def test_a_head_within_its_limit_is_taken_in_however_many_parts_it_comes(place: Place, parts: int) -> None:
    """What came in a part that did not end it counted twice."""
    for size, status in ((QUICK.head - 100, 200), (QUICK.head + 100, 431)):
        line = "".join(f"X-{number}: {'y' * 94}\r\n" for number in range(size // 100))
        head = f"GET / HTTP/1.1\r\nHost: x\r\n{line}X: {'y' * (size % 100)}\r\n\r\n".encode()
        async with place.peer() as peer:
            for part in range(parts):
                peer.writer.write(head[len(head) * part // parts : len(head) * (part + 1) // parts])
                await asyncio.sleep(0.02)
            assert await peer.status() == status


async def test_a_head_behind_a_large_body_is_measured_alone(place: Place) -> None:
    """What came in the same part before it was counted as its own."""
    async with place.peer() as peer:
        body = b"x" * QUICK.body
        first = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        peer.writer.write(first + body + b"GET / HTTP/1.1\r\nHost:")
        assert await peer.status() == 200
        await asyncio.sleep(QUICK.linger_seconds / 2)
        peer.writer.write(b" x\r\n\r\n")
        assert await peer.status() == 200


@pytest.mark.parametrize("cut", [20, 60], ids=["head", "body"])
async def test_a_request_that_was_begun_before_the_answer_to_another_has_its_own_time(cut: int) -> None:
    """It had the time in which the rest of a refused one is thrown away."""
    patient = replace(QUICK, head_seconds=5.0, body_seconds=5.0, linger_seconds=0.2)
    async with serving(patient) as place, place.peer() as peer:
        second = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n" + b"x" * 50
        peer.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + second[:cut])
        assert await peer.status() == 200
        await asyncio.sleep(0.6)
        peer.writer.write(second[cut:])
        assert await peer.status() == 200


async def test_trailers_without_end_are_no_way_around_the_limits(place: Place) -> None:
    async with place.peer() as peer:
        peer.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
        peer.writer.write(b"X: " + b"y" * (MEGABYTE * 2))
        await peer.ends()
    assert place.app.served == 0
    assert await place.works()


async def test_what_is_no_http_is_refused_in_the_form_of_everything_else(place: Place) -> None:
    async with place.peer() as peer:
        peer.writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        assert await peer.status() == 400
        assert json.loads(peer.said)["error_code"] == "EndPoint.0002"


async def test_one_address_has_so_many_connections_and_no_more(place: Place) -> None:
    peers = [await asyncio.open_connection("127.0.0.1", place.port) for _ in range(QUICK.connections_of_address)]
    try:
        async with place.peer() as peer:
            assert await peer.ask("GET / HTTP/1.1") == 0
    finally:
        for _, writer in peers:
            writer.transport.abort()
    await place.empties()
    assert await place.works()


UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
HANDSHAKE = (*UPGRADE, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")


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


async def test_a_stream_ends_with_its_connection_though_more_was_asked_on_that(place: Place) -> None:
    """Only what was asked last heard that the client had gone."""
    async with place.peer() as peer:
        for _ in range(3):
            peer.writer.write(b"GET /stream HTTP/1.1\r\nHost: here\r\n\r\n")
        async with asyncio.timeout(DEADLINE):
            await peer.reader.readuntil(b"tick")
        assert place.app.served == 1
    await place.empties()
    async with asyncio.timeout(2):
        while place.app.served:
            await asyncio.sleep(0.01)


async def test_a_client_that_does_not_read_what_a_websocket_says_is_cut_off(place: Place) -> None:
    async with place.peer() as peer:
        assert await peer.ask("GET /large HTTP/1.1", *HANDSHAKE) == 101
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined] # of a transport that reads
        await place.empties()


async def test_a_client_that_does_not_read_is_cut_off(place: Place) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", place.port, limit=1)
    try:
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(DEADLINE):
            while not len(place.protocol.connected):
                await asyncio.sleep(0.01)
            while len(place.protocol.connected):
                await asyncio.sleep(0.01)
    finally:
        writer.transport.abort()


async def test_beyond_what_may_be_in_flight_clients_are_told_to_come_again(place: Place) -> None:
    limits = Limits(in_flight=5, in_flight_of_address=3)
    async with (
        serving(limits) as full,
        full.peer() as one,
        full.peer() as two,
        full.peer() as three,
        full.peer() as four,
    ):
        held = [asyncio.create_task(peer.ask("GET /hold HTTP/1.1")) for peer in (one, two, three)]
        async with asyncio.timeout(DEADLINE):
            while (refused := await four.ask("GET / HTTP/1.1")) == 200:
                await asyncio.sleep(0.01)
        assert refused == 429
        assert json.loads(four.said)["error_code"] == "EndPoint.0022"
        full.app.open.set()
        assert await asyncio.gather(*held) == [200, 200, 200]
        assert await four.ask("GET / HTTP/1.1") == 200


def test_the_rate_of_a_key_is_its_own_and_a_name_that_is_only_claimed_harms_nobody_elsewhere() -> None:
    now = 0.0
    gate = Gate(Limits(rate_of_key=10, rate_of_address=1000), clock=lambda: now)

    def turn(key: str, address: str) -> bool:
        try:
            gate.knock(address, key)
            with gate.turn(key, address):
                return True
        except Refused as refusal:
            assert (refusal.code.status, refusal.code.wire) == (429, "EndPoint.0022")
            assert refusal.headers == {"Retry-After": "1"}
            return False

    assert [turn("FLOOD", "192.0.2.1") for _ in range(25)] == [True] * 20 + [False] * 5
    assert turn("OTHER", "192.0.2.1")
    gate.knock("192.0.2.2", "FLOOD")  # from elsewhere the name alone is no reason to refuse
    now = 1.0
    assert turn("FLOOD", "192.0.2.1")


def test_an_address_that_proves_nothing_is_bounded_too() -> None:
    gate = Gate(Limits(rate_of_address=5), clock=lambda: 0.0)
    for _ in range(10):
        gate.knock("192.0.2.1", "")
    with pytest.raises(Refused):
        gate.knock("192.0.2.1", "")
    gate.knock("192.0.2.2", "")


def test_a_project_has_so_many_streams_and_gets_back_those_that_end() -> None:
    gate = Gate(Limits(streams_of_project=1))
    with gate.stream("shop"):
        with pytest.raises(Refused), gate.stream("shop"):
            pass
        with gate.stream("other"):
            pass
    with gate.stream("shop"):
        pass
