"""How much passes in a second. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.endpoint.domain.refusals import Cause
from services.endpoint.domain.traffic_tallies import SECOND, Came, Tally

LEAST_INTERVAL = SECOND // 10


@dataclass(frozen=True, slots=True)
class Rate:
    """In a second."""

    bytes_in: float = 0.0
    bytes_out: float = 0.0
    packets_in: float = 0.0
    packets_out: float = 0.0
    refused: Mapping[Cause, float] = field(default_factory=dict)


def rate(came: Iterable[tuple[Came | Tally | None, int]]) -> Rate:
    """Of what came from each gateway in so many nanoseconds; 0 is not known."""
    bytes_in = bytes_out = packets_in = packets_out = 0.0
    refused: dict[Cause, float] = {}
    for tally, interval in came:
        if tally is None or not interval:
            continue
        seconds = max(interval, LEAST_INTERVAL) / SECOND
        passed = tally.passed
        bytes_in += passed.bytes_in / seconds
        bytes_out += passed.bytes_out / seconds
        packets_in += passed.packets_in / seconds
        packets_out += passed.packets_out / seconds
        for cause, count in tally.refused.items():
            refused[cause] = refused.get(cause, 0.0) + count / seconds
    return Rate(bytes_in, bytes_out, packets_in, packets_out, refused)
