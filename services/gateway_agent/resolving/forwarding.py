"""Other name servers, asked in order: by UDP, from another port for each question; by TCP what is too long for that."""

import asyncio
import secrets
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from time import monotonic, thread_time

import dns.exception
import dns.flags
import dns.message
import dns.rcode

from services.common.name_servers import NameServer
from services.gateway_agent.resolving.limits import Share
from services.gateway_agent.resolving.questions import (
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
"""Bytes by TCP: to read so many takes a tenth of a second, in which the agent does nothing else."""

FINAL = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN})
_LENGTH = struct.Struct("!H")


class Outcome(StrEnum):
    """What came of asking one server."""

    ANSWERED = "answered"
    DECLINED = "declined"  # it says that it cannot or will not say
    SILENT = "silent"
    UNREACHABLE = "unreachable"


class OutOfTimeError(Exception):
    """What others answered has taken as much time as it may."""


Read = Callable[[dns.message.Message, bytes], dns.message.Message | None]


class Forwarder:
    """Asks for the clients of one VPC. Reading and writing what others answer takes no more than each of the shares:
    it is long where they like, and a tenant's questions choose whom it comes from."""

    def __init__(self, outcomes: Counter[Outcome], shares: Sequence[Share], patience: float = PATIENCE_SECONDS) -> None:
        self._outcomes, self._shares, self._patience = outcomes, shares, patience
        self._waiting = 0

    async def ask(self, question: Question, servers: Sequence[NameServer]) -> Reply:
        """The first answer that is one; SERVFAIL where nobody gives one, and where too many wait already, or have taken
        too much time."""
        if self._waiting >= MOST_WAITING or not self._has_time():
            return question.failure(Result.LIMITED, recursive=True)
        self._waiting += 1
        try:
            for server in servers:
                found = await self._of(question, server)
                if found is not None and (reply := self._passed_on(question, found)) is not None:
                    return reply
        except OutOfTimeError:
            return question.failure(Result.LIMITED, recursive=True)
        finally:
            self._waiting -= 1
        return question.failure(recursive=True)

    async def _of(self, question: Question, server: NameServer) -> dns.message.Message | None:
        try:
            async with asyncio.timeout(self._patience):
                found = await _exchange(_query(question), server, self._read, long=question.limit > UDP_PAYLOAD)
        except TimeoutError:
            self._outcomes[Outcome.SILENT] += 1
            return None
        except (OSError, EOFError, dns.exception.DNSException):
            self._outcomes[Outcome.UNREACHABLE] += 1
            return None
        final = found.rcode() in FINAL
        self._outcomes[Outcome.ANSWERED if final else Outcome.DECLINED] += 1
        return found if final else None

    def _has_time(self) -> bool:
        now = monotonic()
        return all(share.is_left(now) for share in self._shares)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = thread_time()
        try:
            yield
        finally:
            for share in self._shares:
                share.spend(thread_time() - began)

    def _read(self, query: dns.message.Message, data: bytes) -> dns.message.Message | None:
        if not self._has_time():
            raise OutOfTimeError
        with self._timed():
            return _answer_to(query, data)

    def _passed_on(self, question: Question, found: dns.message.Message) -> Reply | None:
        with self._timed():
            return _passed_on(question, found)


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


async def _exchange(query: dns.message.Message, server: NameServer, read: Read, *, long: bool) -> dns.message.Message:
    """By UDP, and again by TCP where the answer did not fit and the client takes a `long` one: who asked by UDP is told
    that it was cut, and asks by TCP himself."""
    found = await _by_udp(query, server, read)
    return await _by_tcp(query, server, read) if long and found.flags & dns.flags.TC else found


async def _by_udp(query: dns.message.Message, server: NameServer, read: Read) -> dns.message.Message:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[dns.message.Message] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Waiting(query, answer, read), remote_addr=(str(server.address), server.port)
    )
    try:
        transport.sendto(query.to_wire())
        return await answer
    finally:
        transport.close()
        answer.cancel()


class _Waiting(asyncio.DatagramProtocol):
    """Takes the answer from who was asked, and to what was asked; nothing else ends the wait."""

    def __init__(self, query: dns.message.Message, answer: asyncio.Future[dns.message.Message], read: Read) -> None:
        self._query, self._answer, self._read = query, answer, read

    def datagram_received(self, data: bytes, _addr: object) -> None:
        if self._answer.done():
            return
        try:
            found = self._read(self._query, data)
        except OutOfTimeError as error:
            self._answer.set_exception(error)
            return
        if found is not None:
            self._answer.set_result(found)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


async def _by_tcp(query: dns.message.Message, server: NameServer, read: Read) -> dns.message.Message:
    """Raises EOFError for what ends too soon, is longer than is read, or is no answer to this."""
    reader, writer = await asyncio.open_connection(str(server.address), server.port, limit=TCP_PAYLOAD)
    try:
        writer.write(query.to_wire(prepend_length=True))
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > LONGEST_ANSWER:
            raise EOFError
        found = read(query, await reader.readexactly(length))
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    if found is None:
        raise EOFError
    return found


def _answer_to(query: dns.message.Message, data: bytes) -> dns.message.Message | None:
    """What is malformed, of another id or to another question is nobody's answer."""
    try:
        found = dns.message.from_wire(data, keyring=False, ignore_trailing=True)
        return found if query.is_response(found) and found.question else None
    except Exception:  # a stranger's bytes
        return None
