"""One health check as a conversation of TCP segments: what to say, and what came of it. Pure: time comes in.

A connection that is accepted is given up by RST, so that nothing is left of it at the backend. What is asked by HTTP is
heard until the head of the answer is whole, within a window of a few kilobytes.
"""

import secrets
import struct

import h11

from services.gateway_agent.backend_health import Answer, Failure
from services.gateway_agent.dataplane.tcp_frames import (
    ACK,
    FIN,
    MODULUS,
    RST,
    SYN,
    Arrived,
    Between,
    Segment,
    Unreachable,
    frame,
)
from services.gateway_agent.table import Address, HealthCheck, HealthProtocol

USER_AGENT = "sidegate"
VERSION = b"HTTP/1."
WINDOW = 4096
MSS = struct.pack(">BBH", 2, 4, 1220)  # fits every path that IPv6 may take, and a VXLAN's
HTTP_PORT = 80
TRIES = 3
"""What is not answered is said again once, after a third of the time there is: a frame may be lost."""


class Dialogue:
    """A check under way. Every method gives the frames to send; `answer` is set when it is over."""

    def __init__(self, check: HealthCheck, between: Between, source_port: int, now: float, limit: float) -> None:
        self.answer: Answer | None = None
        self.source_port = source_port
        self._check, self._between = check, between
        self._began, self._deadline, self._patience = now, now + limit, limit / TRIES
        self._again_at = now + self._patience
        self._may_repeat = True
        self._sequence = secrets.randbits(32)  # of what we say next
        self._expected: int | None = None  # of what they say next, once they have accepted
        self._request, self._was_heard = b"", False
        self._exchange: HttpExchange | None = None

    @property
    def next_look(self) -> float:
        """When `look` has something to do, if nothing is heard until then."""
        return self._again_at if self._may_repeat else self._deadline

    def open(self) -> list[bytes]:
        return [self._say(SYN, options=MSS)]

    def look(self, now: float) -> list[bytes]:
        """Says once more what was not answered, or gives up."""
        if self.answer is not None:
            return []
        if now >= self._deadline:
            return self._end(now, Failure.SILENT)
        if not self._may_repeat or now < self._again_at:
            return []
        self._may_repeat = False
        return self.open() if self._expected is None else [self._say(ACK, self._request)]

    def refused(self, told: Unreachable, now: float) -> list[bytes]:
        """A machine on the way says that what we said is in vain."""
        ours = (self._between.ours.address, self.source_port, self._between.theirs.address, self._check.port)
        about_us = (told.source, told.source_port, told.destination, told.port) == ours
        if self.answer is None and about_us and told.sequence == self._sequence:
            self.answer = Answer(Failure.UNREACHABLE, seconds=now - self._began)
        return []

    def hear(self, arrived: Arrived, now: float) -> list[bytes]:
        segment = arrived.segment
        theirs = (arrived.source, segment.source) == (self._between.theirs.address, self._check.port)
        if self.answer is not None or not theirs:
            return []
        if self._expected is None:
            return self._hear_first(segment, now)
        return self._hear_on(segment, self._expected, now)

    def _hear_first(self, segment: Segment, now: float) -> list[bytes]:
        if not segment.flags & ACK or segment.confirmed != (self._sequence + 1) % MODULUS:
            return []
        if segment.flags & RST:
            self.answer = Answer(Failure.REFUSED, seconds=now - self._began)
            return []
        if not segment.flags & SYN:
            return []
        self._sequence, self._expected = (self._sequence + 1) % MODULUS, (segment.sequence + 1) % MODULUS
        if self._check.protocol is HealthProtocol.TCP:
            return self._end(now)
        self._exchange = HttpExchange(self._between.theirs.address, self._check)
        self._request = self._exchange.request
        self._again_at, self._may_repeat = now + self._patience, True
        return [self._say(ACK, self._request)]

    def _hear_on(self, segment: Segment, expected: int, now: float) -> list[bytes]:
        if segment.flags & SYN:  # our word that we heard it is lost, and the request with it
            return [self._say(ACK, self._request)]
        if segment.flags & RST:
            if segment.sequence == expected:
                self.answer = Answer(Failure.CLOSED, seconds=now - self._began)
            return []
        known = (expected - segment.sequence) % MODULUS  # of its data, what came before
        if known > len(segment.data):
            return [self._acknowledge()]  # from the future, or the past: they learn what we wait for
        if segment.flags & ACK and segment.confirmed == self._after_request:
            self._may_repeat, self._was_heard = False, True
        news = segment.data[known:]
        self._expected = (expected + len(news)) % MODULUS
        if news and (answer := self._judged(news)) is not None:
            return self._end(now, answer.failure, answer.status)
        if segment.flags & FIN:
            return self._end(now, Failure.NOT_HTTP if self._exchange and self._exchange.began else Failure.CLOSED)
        return [self._acknowledge()] if segment.data else []

    def _judged(self, data: bytes) -> Answer | None:
        return self._exchange.hear(data) if self._exchange else None

    @property
    def _after_request(self) -> int:
        return (self._sequence + len(self._request)) % MODULUS

    def _end(self, now: float, failure: Failure | None = None, status: int = 0) -> list[bytes]:
        """Nothing of the connection is to be left there, nor of one that may have been accepted unheard."""
        self.answer = Answer(failure, status, now - self._began)
        if self._expected is None:
            return [self._say(RST, sequence=self._sequence + 1)]
        # They take it only with the number that they wait for.
        numbers = {self._after_request} if self._was_heard else {self._sequence, self._after_request}
        return [self._say(RST | ACK, sequence=number) for number in sorted(numbers)]

    def _acknowledge(self) -> bytes:
        return self._say(ACK, sequence=self._after_request)

    def _say(self, flags: int, data: bytes = b"", *, options: bytes = b"", sequence: int | None = None) -> bytes:
        number = self._sequence if sequence is None else sequence
        ports = (self.source_port, self._check.port)
        said = Segment(*ports, number, self._expected or 0, flags, WINDOW, data, options)
        return frame(self._between, said)


class HttpExchange:
    """GET, and the head of what answers it."""

    def __init__(self, address: Address, check: HealthCheck) -> None:
        self._statuses, self._start = check.statuses, b""
        self._connection = h11.Connection(h11.CLIENT)
        named = f"[{address}]" if address.version == 6 else str(address)
        host = named if check.port == HTTP_PORT else f"{named}:{check.port}"
        headers = [("Host", host), ("User-Agent", USER_AGENT), ("Connection", "close")]
        asked = self._connection.send(h11.Request(method="GET", target=check.path, headers=headers))
        self.request = asked or b""

    @property
    def began(self) -> bool:
        """Whether anything came yet."""
        return bool(self._start)

    def hear(self, data: bytes) -> Answer | None:
        """None until the head is whole."""
        self._start = (self._start + data)[: len(VERSION)]
        if not VERSION.startswith(self._start):
            return Answer(Failure.NOT_HTTP)  # without waiting for the end of what another protocol says first
        try:
            self._connection.receive_data(data)
            event = self._connection.next_event()
            while isinstance(event, h11.InformationalResponse):
                event = self._connection.next_event()
        except h11.RemoteProtocolError:
            return Answer(Failure.NOT_HTTP)
        if not isinstance(event, h11.Response):
            return None
        first, last = self._statuses
        status = event.status_code
        return Answer() if first <= status <= last else Answer(Failure.STATUS, status)
