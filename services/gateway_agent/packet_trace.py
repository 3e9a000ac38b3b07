"""What the forwarding program makes of a client's first packet, and the steps that lead there. Values."""

from dataclasses import dataclass
from enum import StrEnum

from services.gateway_agent.table import Address, Protocol

FORWARDED = "forwarded"
ANY_SOURCE_PORT = 49152
"""The client's port where none is asked for: the first of those that hosts choose from (RFC 6335)."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The first packet of a session, as a client at `source` would send it: a SYN, or a datagram.

    `port` 0 is the first that the service publishes for the protocol. `destination` is an address of an endpoint with
    routes; None is the first that they allow.
    """

    source: Address
    source_port: int = ANY_SOURCE_PORT
    port: int = 0
    protocol: Protocol = Protocol.TCP
    destination: Address | None = None


class Subject(StrEnum):
    """What is looked at, in the order of a packet's way."""

    DEVICE = "device"
    SESSION = "session"
    ENDPOINT = "endpoint"
    DRAIN = "drain"
    WHITELIST = "whitelist"
    ROUTE = "route"
    PORT = "port"
    BACKEND = "backend"
    LIMITS = "limits"
    SOURCE = "source"
    WAY_OUT = "way out"


class Outcome(StrEnum):
    PASSED = "passed"
    REFUSED = "refused"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class Step:
    """What was looked at, and what came of it, in a sentence."""

    subject: Subject
    outcome: Outcome
    message: str


@dataclass(frozen=True, slots=True)
class PacketTrace:
    """`verdict` is the program's own, by the name of its counter; `foreseen` is what the steps come to.

    They differ where the table changed in between, or where the steps are wrong. `program` is the kernel's tag of the
    program that was run, which is that of the one that forwards. Where the packet passes: `backend` and `server_port`
    are where it would go, `seen_as` and `seen_port` what the backend would see.
    """

    opening: Opening
    address: Address
    steps: tuple[Step, ...]
    verdict: str
    foreseen: str
    program: str = ""
    backend: Address | None = None
    server_port: int = 0
    seen_as: Address | None = None
    seen_port: int = 0

    @property
    def passes(self) -> bool:
        return self.verdict == FORWARDED

    @property
    def agrees(self) -> bool:
        """Whether the steps explain the verdict."""
        return self.verdict == self.foreseen
