"""What an endpoint may take of a second, in the model of the forwarding; when the program looked at its clock is known
only to lie between two readings of ours.
"""

from dataclasses import dataclass

SECOND = 1_000_000_000
LARGEST_PACKET_BITS = 8 * 65536


class Undecided(Exception):
    """It depends on when exactly the program looked at its clock."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Nanoseconds: since 1970, and the earliest and latest reading of CLOCK_MONOTONIC that there can have been."""

    wall: int
    earliest: int
    latest: int


@dataclass(slots=True)
class Meter:
    """The generic cell rate algorithm: from when on the whole allowance is there again, between two moments."""

    earliest: int = 0
    latest: int = 0

    def conforms(self, cost: int, burst: int, now: Moment) -> bool:
        """Whether so much more is within the allowance, of which it then takes. Raises Undecided."""
        least = max(self.earliest - now.latest, 0) + cost
        most = max(self.latest - now.earliest, 0) + cost
        if least > burst:
            return False
        if most > burst:
            raise Undecided
        self.earliest = max(self.earliest, now.earliest) + cost
        self.latest = max(self.latest, now.latest) + cost
        return True


@dataclass(slots=True)
class Meters:
    """Of one endpoint."""

    new: Meter
    bits: Meter

    @classmethod
    def unused(cls) -> "Meters":
        return cls(Meter(), Meter())

    def may_open(self, per_second: int, now: Moment) -> bool:
        """As many as a second allows may come at once."""
        return not per_second or self.new.conforms(SECOND // per_second, SECOND, now)

    def may_pass(self, length: int, bits_per_second: int, now: Moment) -> bool:
        """A packet of so many bytes; a tenth of a second's allowance may come at once, or one packet of GSO."""
        if not bits_per_second:
            return True
        burst = max(LARGEST_PACKET_BITS * SECOND // bits_per_second, SECOND // 10)
        return self.bits.conforms(length * 8 * SECOND // bits_per_second, burst, now)
