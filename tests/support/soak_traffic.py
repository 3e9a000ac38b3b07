"""Traffic through endpoints that come and go: every byte is looked at, and nothing is lost but by a cut."""

import asyncio
import json
import random
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.support.namespaces import Namespace

T = TypeVar("T")

TCP_PORT, TCP_SERVER_PORT = 80, 8080
UDP_PORT, UDP_SERVER_PORT = 53, 5353
PATIENCE = 20.0  # seconds, for an answer of an endpoint that stands
IDLE_SECONDS = 30.0  # after which a server gives a connection up: it was cut, and nobody tells
LONGEST = 40_000


class Cut(Exception):
    """The endpoint was taken away, or its sessions were cut, meanwhile: whatever happens then is right."""


@dataclass(slots=True)
class Place:
    """An endpoint as clients know it."""

    address: str
    source: str
    backends: frozenset[str]
    stands: bool = False
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    def rise(self) -> None:
        self.stands, self.cut = True, asyncio.Event()

    def fall(self) -> None:
        self.stands = False
        self.cut.set()

    async def during(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives. Raises Cut, and AssertionError where an endpoint that stands does not answer."""
        working, cut = asyncio.ensure_future(work), asyncio.ensure_future(self.cut.wait())
        try:
            await asyncio.wait({working, cut}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if cut.done():
                raise Cut
            assert working.done(), f"{self.address} does not answer within {PATIENCE:g} s"
            return working.result()
        finally:
            for each in (working, cut):
                each.cancel()
            await asyncio.wait({working, cut})


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
    """Greets with its own name and the client's address as a line of JSON, and repeats what comes."""
    try:
        writer.write(json.dumps([name, *writer.get_extra_info("peername")]).encode() + b"\n")
        while data := await asyncio.wait_for(reader.read(1 << 16), IDLE_SECONDS):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.transport.abort()


class Clients:
    """Machines of one VPC that go on talking to places until told to stop."""

    def __init__(self, namespace: Namespace, places: list[Place], chance: random.Random) -> None:
        self._namespace, self._places, self._chance = namespace, places, chance
        self.stopped = asyncio.Event()
        self.connections = self.datagrams = self.bytes = self.cuts = 0

    async def talk(self, how: Callable[[Place], Coroutine[Any, Any, None]]) -> None:
        while not self.stopped.is_set():
            standing = [place for place in self._places if place.stands]
            if not standing:
                await asyncio.sleep(0.01)
                continue
            try:
                await how(self._chance.choice(standing))
            except Cut:
                self.cuts += 1

    async def over_tcp(self, place: Place) -> None:
        """A connection, some exchanges, and its end."""
        made = self._namespace.tcp_socket()
        writer: asyncio.StreamWriter | None = None
        try:
            await place.during(asyncio.get_running_loop().sock_connect(made, (place.address, TCP_PORT)))
            reader, writer = await asyncio.open_connection(sock=made, limit=1 << 20)
            self._check_greeting(place, await place.during(reader.readline()))
            for _ in range(self._chance.randint(0, 6)):
                data = self._chance.randbytes(self._chance.randint(1, LONGEST))
                writer.write(data)
                assert await place.during(reader.readexactly(len(data))) == data, "another byte came back"
                self.bytes += len(data)
            self.connections += 1
        finally:
            writer.close() if writer else made.close()

    async def over_udp(self, place: Place) -> None:
        """Some datagrams from one port."""
        loop, target = asyncio.get_running_loop(), (place.address, UDP_PORT)
        with self._namespace.udp_socket() as mouth:
            for _ in range(self._chance.randint(1, 4)):
                data = self._chance.randbytes(self._chance.randint(1, 1200))
                await loop.sock_sendto(mouth, data, target)
                answer, sender = await place.during(loop.sock_recvfrom(mouth, 1 << 16))
                greeting, _, echoed = answer.partition(b"\n")
                self._check_greeting(place, greeting)
                assert (echoed, sender) == (data, target), "another datagram came back"
                self.datagrams += 1

    def _check_greeting(self, place: Place, line: bytes) -> None:
        """Who answers is a backend of the service, and sees the endpoint's source address."""
        if not line and place.cut.is_set():
            raise Cut
        name, peer, *_ = json.loads(line)
        assert name in place.backends, f"{name} answers for {place.address}"
        assert peer == place.source, f"{place.address} is seen as {peer}"


class UdpEchoes(asyncio.DatagramProtocol):
    """Answers every datagram with a greeting and the datagram."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._transport.sendto(json.dumps([self._name, *addr]).encode() + b"\n" + data, addr)


def listener(namespace: Namespace, address: str) -> socket.socket:
    return namespace.tcp_listener(address, TCP_SERVER_PORT)
