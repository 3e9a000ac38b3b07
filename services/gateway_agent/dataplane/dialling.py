"""A connection attempt that is given up as soon as it is answered: its frames, and what an answer says. Pure."""

import struct
from dataclasses import dataclass

from services.gateway_agent.dataplane import tcp_frames
from services.gateway_agent.dataplane.tcp_frames import ACK, MODULUS, RST, SYN, Arrived, Between, Segment, Unreachable
from services.gateway_agent.reach import Outcome

WINDOW = 64240
MSS = struct.pack(">BBH", 2, 4, 1460)


@dataclass(frozen=True, slots=True)
class Dialling:
    """From whom, to whom, and the number that its answer must confirm."""

    between: Between
    source_port: int
    port: int
    sequence: int

    def opening(self) -> bytes:
        return self._frame(SYN, self.sequence, MSS)

    def hanging_up(self) -> bytes:
        """Ends what an answer has opened, before the other side has anybody to tell of it."""
        return self._frame(RST | ACK, self.sequence + 1)

    def outcome(self, frame: bytes) -> Outcome | None:
        """What a frame that came says of this attempt; None if it is about something else."""
        ours, theirs = self.between.ours.address, self.between.theirs.address
        match tcp_frames.read(frame):
            case Arrived(source, destination, segment) if (source, destination) == (theirs, ours):
                return self._answered(segment)
            case Unreachable(source, source_port, destination, port):
                about_us = (source, source_port, destination, port) == (ours, self.source_port, theirs, self.port)
                return Outcome.REFUSED if about_us else None
            case _:
                return None

    def _answered(self, segment: Segment) -> Outcome | None:
        ports = (segment.source, segment.destination)
        if ports != (self.port, self.source_port) or segment.confirmed != (self.sequence + 1) % MODULUS:
            return None
        if segment.flags & RST:
            return Outcome.REFUSED
        return Outcome.OPEN if segment.flags & (SYN | ACK) == SYN | ACK else None

    def _frame(self, flags: int, sequence: int, options: bytes = b"") -> bytes:
        segment = Segment(self.source_port, self.port, sequence, 0, flags, WINDOW, options=options)
        return tcp_frames.frame(self.between, segment)
