"""What a connection may take before there is a request."""

from dataclasses import dataclass

IDLE_SECONDS = 75
"""Between requests, too. Longer than browsers keep a connection that they have not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Sizes in bytes, times in seconds.

    `tls_seconds` are of a connection until it speaks TLS.
    `idle_seconds` are of a connection on which nothing has been asked yet: browsers open some ahead of time. `head` and
    `head_seconds` are of a request's line and headers, `body` and `body_seconds` of its body, `send_seconds` of each
    part of an answer that a client takes its time to read. `handshake_seconds` are of a WebSocket until it is let in.
    """

    tls_seconds: float = 10.0
    idle_seconds: float = IDLE_SECONDS
    head: int = 32 * 1024
    head_seconds: float = 10.0
    body: int = 256 * 1024
    body_seconds: float = 20.0
    send_seconds: float = 20.0
    linger_seconds: float = 5.0
    handshake_seconds: float = 30.0
    connections: int = 800
    connections_of_address: int = 400
