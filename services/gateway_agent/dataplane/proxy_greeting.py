"""Whether a backend's port understands the PROXY protocol: it is sent a header of no client, and heard a while. Pure.

A header with the command LOCAL is what a proxy's own connections begin with. Who understands it goes on as if nothing
had been said; who does not takes it for a request of another protocol, and ends the connection, or complains.
"""

import struct
from dataclasses import dataclass

from services.gateway_agent.dataplane import tcp_frames
from services.gateway_agent.dataplane.dialling import WINDOW, Dialling
from services.gateway_agent.dataplane.tcp_frames import ACK, FIN, MODULUS, RST, SYN, Arrived, Segment
from services.gateway_agent.reach import Outcome

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, UNSPECIFIED = 0x20, 0
HEADER = SIGNATURE + struct.pack(">BBH", LOCAL, UNSPECIFIED, 0)
SECONDS = 0.5
"""A backend that does not understand it says so within milliseconds."""

_ERROR = b"HTTP/1."  # whatever the status: nothing was asked for
_KEPT = 4096


@dataclass(slots=True)
class Greeting:
    """One connection that was accepted. `expected` is the number of what they say next."""

    dialling: Dialling
    expected: int = 0
    said: bytes = b""

    @classmethod
    def of(cls, dialling: Dialling, frame: bytes) -> "Greeting":
        """`frame` accepts the connection."""
        arrived = tcp_frames.read(frame)
        sequence = arrived.segment.sequence if isinstance(arrived, Arrived) else 0
        return cls(dialling, (sequence + 1) % MODULUS)

    def telling(self) -> bytes:
        return self._say(ACK, self.dialling.sequence + 1, HEADER)

    def acknowledging(self) -> bytes:
        """Else they might wait with their next word."""
        return self._say(ACK, self.dialling.sequence + 1 + len(HEADER))

    def hanging_up(self) -> list[bytes]:
        """Whether they have heard the header or not: they take only the number that they wait for."""
        return [self._say(RST | ACK, self.dialling.sequence + 1 + heard) for heard in (0, len(HEADER))]

    def outcome(self, frame: bytes) -> Outcome | None:
        """What a frame that came says against it; None if nothing."""
        match tcp_frames.read(frame):
            case Arrived(source, destination, segment) if self._is_ours(segment) and (source, destination) == (
                self.dialling.between.theirs.address,
                self.dialling.between.ours.address,
            ):
                return self._heard(segment)
            case _:
                return None

    def _is_ours(self, segment: Segment) -> bool:
        return (segment.source, segment.destination) == (self.dialling.port, self.dialling.source_port)

    def _heard(self, segment: Segment) -> Outcome | None:
        if segment.flags & SYN:
            return None  # said again: our first word is on its way
        if segment.flags & (RST | FIN):
            return Outcome.NO_PROXY
        if segment.data and segment.sequence == self.expected:
            self.said = (self.said + segment.data)[:_KEPT]
            self.expected = (self.expected + len(segment.data)) % MODULUS
        return Outcome.NO_PROXY if SIGNATURE in self.said or self.said.startswith(_ERROR) else None

    def _say(self, flags: int, sequence: int, data: bytes = b"") -> bytes:
        ports = (self.dialling.source_port, self.dialling.port)
        said = Segment(*ports, sequence % MODULUS, self.expected, flags, WINDOW, data)
        return tcp_frames.frame(self.dialling.between, said)
