"""Other name servers, asked in order: by UDP, from another port for each question; by TCP what is too long for that."""

import asyncio
import secrets
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from enum import StrEnum

import dns.exception
import dns.flags
import dns.message
import dns.rcode

from services.common.name_servers import NameServer
from services.gateway_agent.resolving.effort import Effort, OutOfTimeError
from services.gateway_agent.resolving.limits import Shares
from services.gateway_agent.resolving.questions import (
    HEADER,
    HIGHEST_RCODE,
    TCP_PAYLOAD,
    UDP_PAYLOAD,
    Question,
    Reply,
    Result,
)

PATIENCE_SECONDS = 1.5
"""For each server; clients give up after about five."""

MOST_WAITING = 200
"""Questions of one VPC that wait for others at once."""

LONGEST_ANSWER = 16_384
"""Bytes by TCP: to read so many takes a tenth of a second, or two seconds where names are as long as can be."""

MOST_HEARD = 8
"""Datagrams that wait to be read whether they are the answer."""

FINAL = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN})
_LENGTH = struct.Struct("!H")


class Outcome(StrEnum):
    """What came of asking one server."""

    ANSWERED = "answered"
    DECLINED = "declined"  # it says that it cannot or will not say
    SILENT = "silent"
    UNREACHABLE = "unreachable"


Read = Callable[[bytes], Awaitable[dns.message.Message | None]]
"""Gives None for what is no answer to what was asked."""


class Forwarder:
    """Asks for the clients of one VPC. Reading and writing what others answer takes no more than the shares: it is long
    where they like, and a tenant's questions choose whom it comes from."""

    def __init__(
        self, outcomes: Counter[Outcome], shares: Shares, effort: Effort, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._outcomes, self._shares, self._effort, self._patience = outcomes, shares, effort, patience
        self._waiting = 0

    async def ask(self, question: Question, servers: Sequence[NameServer]) -> Reply:
        """The first answer that is one; SERVFAIL where nobody gives one, and where too many wait already, or have taken
        too much time."""
        if self._waiting >= MOST_WAITING or not self._shares.are_left():
            return self._failure(question, Result.LIMITED)
        self._waiting += 1
        try:
            for server in servers:
                found = await self._of(question, server)
                if found is not None and (reply := await self._passed_on(question, found)) is not None:
                    return reply
        except OutOfTimeError:
            return self._failure(question, Result.LIMITED)
        finally:
            self._waiting -= 1
        return self._failure(question, Result.FAILED)

    def _failure(self, question: Question, result: Result) -> Reply:
        with self._shares.taken():
            return question.failure(result, recursive=True)

    async def _of(self, question: Question, server: NameServer) -> dns.message.Message | None:
        with self._shares.taken():
            query = _query(question)
            wire = query.to_wire()

        async def read(data: bytes) -> dns.message.Message | None:
            return await self._effort.take(self._shares, _records(data), _answer_to, query, data)

        try:
            async with asyncio.timeout(self._patience):
                found = await _exchange(wire, server, read, long=question.limit > UDP_PAYLOAD)
        except TimeoutError:
            self._outcomes[Outcome.SILENT] += 1
            return None
        except (OSError, EOFError, dns.exception.DNSException):
            self._outcomes[Outcome.UNREACHABLE] += 1
            return None
        final = found.rcode() in FINAL
        self._outcomes[Outcome.ANSWERED if final else Outcome.DECLINED] += 1
        return found if final else None

    async def _passed_on(self, question: Question, found: dns.message.Message) -> Reply | None:
        records = sum(len(rrset) for section in found.sections[1:] for rrset in section)
        return await self._effort.take(self._shares, records, _passed_on, question, found)


def _query(question: Question) -> dns.message.Message:
    """Asks the same in words of our own: nothing else of the client's message goes on."""
    asked = question.message
    made = dns.message.make_query(
        question.name,
        question.type,
        use_edns=0,
        payload=UDP_PAYLOAD,
        want_dnssec=bool(asked.ednsflags & dns.flags.DO),
        id=secrets.randbits(16),
    )
    made.flags = dns.flags.Flag(asked.flags & (dns.flags.RD | dns.flags.CD | dns.flags.AD))
    return made


def _passed_on(question: Question, found: dns.message.Message) -> Reply | None:
    """The answer as the client's own; None where the library can read it and not write it."""
    try:
        return _as_answer(question, found)
    except Exception:  # what a stranger's bytes have become
        return None


def _as_answer(question: Question, found: dns.message.Message) -> Reply:
    rcode = found.rcode()
    response = question.response(rcode if rcode <= HIGHEST_RCODE else dns.rcode.SERVFAIL, recursive=True)
    response.flags |= found.flags & (dns.flags.AD & question.message.flags | dns.flags.TC)
    response.answer, response.authority, response.additional = found.answer, found.authority, found.additional
    return question.reply(response, Result.FORWARDED)


async def _exchange(wire: bytes, server: NameServer, read: Read, *, long: bool) -> dns.message.Message:
    """By UDP, and again by TCP where the answer did not fit and the client takes a `long` one: who asked by UDP is told
    that it was cut, and asks by TCP himself."""
    found = await _by_udp(wire, server, read)
    return await _by_tcp(wire, server, read) if long and found.flags & dns.flags.TC else found


async def _by_udp(wire: bytes, server: NameServer, read: Read) -> dns.message.Message:
    """Takes the answer from who was asked, and to what was asked; nothing else ends the wait."""
    transport, waiting = await asyncio.get_running_loop().create_datagram_endpoint(
        _Waiting, remote_addr=(str(server.address), server.port)
    )
    try:
        transport.sendto(wire)
        while True:
            heard = await waiting.heard.get()
            if isinstance(heard, Exception):
                raise heard
            if heard[:2] == wire[:2] and (found := await read(heard)) is not None:
                return found
    finally:
        transport.close()


class _Waiting(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes | Exception] = asyncio.Queue(MOST_HEARD)

    def datagram_received(self, data: bytes, _addr: object) -> None:
        self._hear(data)

    def error_received(self, exc: Exception) -> None:
        self._hear(exc)

    def _hear(self, what: bytes | Exception) -> None:
        with suppress(asyncio.QueueFull):
            self.heard.put_nowait(what)


async def _by_tcp(wire: bytes, server: NameServer, read: Read) -> dns.message.Message:
    """Raises EOFError for what ends too soon, is longer than is read, or is no answer to this."""
    reader, writer = await asyncio.open_connection(str(server.address), server.port, limit=TCP_PAYLOAD)
    try:
        writer.write(_LENGTH.pack(len(wire)) + wire)
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > LONGEST_ANSWER:
            raise EOFError
        data = await reader.readexactly(length)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    if (found := await read(data)) is None:
        raise EOFError
    return found


def _records(data: bytes) -> int:
    """How many a message says that it has."""
    return sum(HEADER.unpack_from(data)[3:]) if len(data) >= HEADER.size else 0


def _answer_to(query: dns.message.Message, data: bytes) -> dns.message.Message | None:
    """What is malformed, of another id or to another question is nobody's answer."""
    try:
        found = dns.message.from_wire(data, keyring=False, ignore_trailing=True)
        return found if query.is_response(found) and found.question else None
    except Exception:  # a stranger's bytes
        return None
