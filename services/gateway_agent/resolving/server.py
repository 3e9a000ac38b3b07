"""The DNS server of one VPC, on sockets that are in its annex."""

import asyncio
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from socket import socket
from time import monotonic

import dns.name

from services.gateway_agent.resolving.answers import Ask, Known, answer
from services.gateway_agent.resolving.book import Book
from services.gateway_agent.resolving.effort import Effort
from services.gateway_agent.resolving.forwarding import Forwarder, Outcome
from services.gateway_agent.resolving.limits import Rate, Share, Shares
from services.gateway_agent.resolving.questions import TCP_PAYLOAD, UDP_PAYLOAD, Reply, Result, read
from services.gateway_agent.table import Resolver

QUESTIONS_PER_SECOND = 1000
"""Of one VPC: what is more is dropped, so that one tenant's machines take little of the gateway's time."""

QUESTIONS_OF_ALL_PER_SECOND = 3000
"""Of all VPCs of a gateway together: its agent has other work, too."""

QUESTIONS_SHARE, QUESTIONS_SHARE_OF_ALL = 0.25, 0.5
"""Of the time of the agent's event loop, for reading and answering questions: of one VPC, and of all together. An
ordinary question takes 0.2 ms, one with names as long as can be twenty times that."""

ANSWERS_SHARE, ANSWERS_SHARE_OF_ALL = 0.2, 0.4
"""Of the time of the agent's event loop, for what others answer: of one VPC, and of all together."""

MOST_CONNECTIONS = 100
MOST_CONNECTIONS_OF_ONE = 10
"""TCP connections at once, of a VPC and of one of its clients."""

IDLE_SECONDS = 10.0
"""Until a TCP connection that asks nothing, or takes no answer, is closed."""

_LENGTH = struct.Struct("!H")


@dataclass(slots=True)
class Counts:
    """What became of questions, and of what others were asked, since the agent began."""

    results: Counter[Result] = field(default_factory=Counter)
    outcomes: Counter[Outcome] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Sockets:
    """Bound, in the annex of the VPC. `stale` is whether that annex is no more."""

    udp: socket
    tcp: socket
    stale: Callable[[], bool]

    def close(self) -> None:
        self.udp.close()
        self.tcp.close()


@dataclass(slots=True)
class OfAll:
    """What the VPCs of a gateway take together."""

    rate: Rate = field(default_factory=lambda: Rate(QUESTIONS_OF_ALL_PER_SECOND))
    questions: Share = field(default_factory=lambda: Share(QUESTIONS_SHARE_OF_ALL))
    answers: Share = field(default_factory=lambda: Share(ANSWERS_SHARE_OF_ALL))
    effort: Effort = field(default_factory=Effort)


class Server:
    """Answers until it is closed. `resolver` may be another at any time: of the same VPC."""

    def __init__(self, resolver: Resolver, sockets: Sockets, book: Book, counts: Counts, of_all: OfAll) -> None:
        self.resolver, self.sockets = resolver, sockets
        self._book, self._counts = book, counts
        answers = Shares(Share(ANSWERS_SHARE), of_all.answers)
        self._forwarder = Forwarder(counts.outcomes, answers, of_all.effort)
        self._rate, self._rate_of_all = Rate(QUESTIONS_PER_SECOND), of_all.rate
        self._shares = Shares(Share(QUESTIONS_SHARE), of_all.questions)
        self._connections: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self._listener: asyncio.Server | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self._hear), sock=self.sockets.udp)
        self._listener = await asyncio.start_server(self._converse, sock=self.sockets.tcp)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        if self._listener is not None:
            self._listener.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.sockets.close()

    def _answer(self, wire: bytes, payload: int) -> Reply | Ask:
        """What is known is said in one go: who was told a name was told before it was taken back."""
        now = monotonic()
        if not (self._shares.are_left() and self._rate.admits(now) and self._rate_of_all.admits(now)):
            return Reply(b"", Result.LIMITED)
        with self._shares.taken():
            question = read(wire, payload)
            return question if isinstance(question, Reply) else answer(question, self._known())

    def _known(self) -> Known:
        """The book's names as it has them now: it forgets those of a VPC that has no resolver for a moment."""
        zone, names = dns.name.from_text(self.resolver.zone), self._book.names(self.resolver.vpc)
        return Known(zone, names, self._book.settled, recursive=bool(self.resolver.forwarders))

    def _hear(self, wire: bytes, client: tuple[str, int]) -> None:
        found = self._answer(wire, UDP_PAYLOAD)
        if isinstance(found, Reply):
            self._send(found, client)
        else:
            self._keep(asyncio.ensure_future(self._pass_on(found, client)))

    async def _pass_on(self, ask: Ask, client: tuple[str, int]) -> None:
        self._send(await self._forwarder.ask(ask.question, self.resolver.forwarders), client)

    def _send(self, reply: Reply, client: tuple[str, int]) -> None:
        self._counts.results[reply.result] += 1
        if reply.wire and self._transport is not None:
            self._transport.sendto(reply.wire, client)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = str(writer.get_extra_info("peername")[0])
        if self._connections.total() >= MOST_CONNECTIONS or self._connections[client] >= MOST_CONNECTIONS_OF_ONE:
            self._counts.results[Result.LIMITED] += 1
            writer.close()
            return
        self._connections[client] += 1
        if (task := asyncio.current_task()) is not None:
            self._keep(task)
        try:
            # Streams of Python 3.11 cannot bear that a conversation is cancelled, and it is over anyway.
            with suppress(OSError, EOFError, TimeoutError, asyncio.CancelledError):
                while await self._answer_one(reader, writer):
                    pass
        finally:
            self._connections -= Counter({client: 1})
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async with asyncio.timeout(IDLE_SECONDS):
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            wire = await reader.readexactly(length)
        found = self._answer(wire, TCP_PAYLOAD)
        if isinstance(found, Ask):
            found = await self._forwarder.ask(found.question, self.resolver.forwarders)
        self._counts.results[found.result] += 1
        if not found.wire:
            return False
        writer.write(_LENGTH.pack(len(found.wire)) + found.wire)
        async with asyncio.timeout(IDLE_SECONDS):
            await writer.drain()
        return True

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, hear: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._hear = hear

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._hear(data, addr)
