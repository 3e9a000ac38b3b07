"""Clients that are too slow, too large or too many, on real sockets: each meets its limit, and others are served."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.http_api.errors import Refused
from services.http_api.limits import Gate, Limits
from tests.support.limited_server import MEGABYTE, QUICK, Place, serving
from tests.support.nats import DEADLINE


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
