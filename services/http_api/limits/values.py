"""The limits as the operator sets them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds, rates in requests a second, of which twice as many may come at once.

    `head` and `head_seconds` are of a request's line and headers, `body` and `body_seconds` of its body, `send_seconds`
    of each part of an answer that a client takes its time to read. In flight are requests whose body is there.
    """

    head: int = 32 * 1024
    head_seconds: float = 10.0
    body: int = 256 * 1024
    body_seconds: float = 20.0
    send_seconds: float = 20.0
    linger_seconds: float = 5.0
    connections: int = 800
    connections_of_address: int = 400
    in_flight: int = 256
    in_flight_of_address: int = 128
    in_flight_of_key: int = 64
    rate_of_address: float = 1000.0
    rate_of_key: float = 200.0
    streams_of_project: int = 20


LIMITS = Limits()
