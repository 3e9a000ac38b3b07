"""The limits as the operator sets them."""

from dataclasses import dataclass

from services.common.https.bounds import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Bounds):
    """Rates in requests a second, of which twice as many may come at once; in flight are those whose body is there."""

    in_flight: int = 256
    in_flight_of_address: int = 128
    in_flight_of_key: int = 64
    rate_of_address: float = 1000.0
    rate_of_key: float = 200.0
    streams_of_project: int = 20


LIMITS = Limits()
