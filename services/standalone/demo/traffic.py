"""What runs inside a VPC: an HTTP server and clients, each a process of its own that speaks JSON lines on stdout.

Times are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
"""

import argparse
import hashlib
import http.client
import json
import select
import socket
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ATTEMPT_SECONDS = 0.005
SILENCE_SECONDS = 1.0
CHUNK = 64 * 1024


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


class Payments(BaseHTTPRequestHandler):
    """`/` greets, `/ticks` writes a line every millisecond, `/file?bytes=N&rate=R` sends N bytes, R a second."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        say(method="GET", path=url.path, source=self.client_address[0])
        match url.path:
            case "/ticks":
                self._ticks()
            case "/file":
                query = parse_qs(url.query)
                self._file(int(query["bytes"][0]), int(query["rate"][0]))
            case _:
                self._greet()

    def _start(self, length: int | None) -> None:
        self.send_response(200)
        if length is None:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _greet(self) -> None:
        body = b"this is payments\n"
        self._start(len(body))
        self.wfile.write(body)

    def _ticks(self) -> None:
        self._start(None)
        while True:
            self.wfile.write(b"tick\n")
            time.sleep(0.001)

    def _file(self, length: int, rate: int) -> None:
        self._start(length)
        begun, sent = time.monotonic(), 0
        while sent < length:
            size = min(CHUNK, length - sent)
            self.wfile.write(block(sent // CHUNK)[:size])
            sent += size
            time.sleep(max(0.0, begun + sent / rate - time.monotonic()))

    def log_message(self, *_: object) -> None:
        """Silent: `do_GET` says more."""


class Server(ThreadingHTTPServer):
    """A client that goes away in the middle is no news."""

    def handle_error(self, *_: object) -> None:
        pass


def block(number: int) -> bytes:
    """The same 64 KiB for the same number, another for another."""
    return hashlib.shake_128(number.to_bytes(8, "big")).digest(CHUNK)


def expected_digest(length: int) -> str:
    """SHA-256 of what `/file` sends."""
    digest = hashlib.sha256()
    for at in range(0, length, CHUNK):
        digest.update(block(at // CHUNK)[: min(CHUNK, length - at)])
    return digest.hexdigest()


def serve(address: str, port: int) -> None:
    server = Server((address, port), Payments)
    say(listening=f"{address}:{port}")
    server.serve_forever()


def attempt(address: str, port: int, seconds: float) -> None:
    """One connection attempt; says what came of it."""
    begun = time.monotonic_ns()
    outcome = "connected"
    try:
        socket.create_connection((address, port), timeout=seconds).close()
    except TimeoutError:
        outcome = "timed out"
    except OSError as error:
        outcome = str(error.strerror)
    say(outcome=outcome, milliseconds=(time.monotonic_ns() - begun) / 1e6)


def connect_soon(address: str, port: int, deadline: float) -> tuple[socket.socket, int]:
    """A connection as soon as one can be had. A lost SYN would be sent again after a second, so each try is new."""
    attempts = 0
    while time.monotonic() < deadline:
        attempts += 1
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        connection.connect_ex((address, port))
        _, writable, _ = select.select([], [connection], [], ATTEMPT_SECONDS)
        if writable and connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            connection.setblocking(True)
            return connection, attempts
        connection.close()
    sys.exit(f"{address}:{port} did not answer in time")


def first_byte(address: str, port: int, seconds: float) -> None:
    """Tries until an HTTP response comes; says when."""
    say(trying=f"{address}:{port}")
    connection, attempts = connect_soon(address, port, time.monotonic() + seconds)
    client = http.client.HTTPConnection(address, port)
    client.sock = connection
    client.request("GET", "/")
    response = client.getresponse()
    say(at=time.monotonic_ns(), attempts=attempts, status=response.status, body=response.read().decode().strip())


def hold(address: str, port: int) -> None:
    """Listens to `/ticks` until it falls silent; says when the last one came."""
    client = http.client.HTTPConnection(address, port, timeout=SILENCE_SECONDS)
    client.request("GET", "/ticks")
    response = client.getresponse()
    last, ticks = time.monotonic_ns(), 0
    try:
        while response.readline():
            last, ticks = time.monotonic_ns(), ticks + 1
            if ticks == 100:
                say(established=True)
    except OSError:
        pass
    say(last=last, ticks=ticks)


def download(address: str, port: int, length: int, rate: int) -> None:
    """Fetches `/file`; says how far it is after every tenth, and at the end what it got."""
    client = http.client.HTTPConnection(address, port, timeout=30)
    client.request("GET", f"/file?bytes={length}&rate={rate}")
    response = client.getresponse()
    digest, received, tenths = hashlib.sha256(), 0, 0
    while data := response.read(CHUNK):
        digest.update(data)
        received += len(data)
        if received * 10 // length > tenths:
            tenths = received * 10 // length
            say(received=received)
    say(bytes=received, sha256=digest.hexdigest())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, extra in (
        ("serve", ()),
        ("attempt", ("seconds",)),
        ("first-byte", ("seconds",)),
        ("hold", ()),
        ("download", ("length", "rate")),
    ):
        command = verbs.add_parser(verb)
        command.add_argument("address")
        command.add_argument("port", type=int)
        for name in extra:
            command.add_argument(name, type=float if name == "seconds" else int)
    arguments = vars(parser.parse_args())
    run: dict[str, Callable[..., None]] = {
        "serve": serve,
        "attempt": attempt,
        "first-byte": first_byte,
        "hold": hold,
        "download": download,
    }
    run[arguments.pop("verb")](**arguments)


if __name__ == "__main__":
    main()
