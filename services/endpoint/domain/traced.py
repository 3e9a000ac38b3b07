"""A client's packet, and what a gateway's forwarding has made of it. Values."""

from dataclasses import dataclass
from enum import Enum, auto

FORWARDED = "forwarded"


@dataclass(frozen=True, slots=True)
class Opening:
    """The first packet of a session, as a client would send it; port 0 is any, or the first that is published."""

    source: str
    source_port: int = 0
    port: int = 0
    protocol: str = "tcp"
    destination: str = ""  # of an endpoint with routes; empty is the first address that they allow


class Met(Enum):
    """What a packet meets on its way, in this order."""

    DEVICE = auto()
    SESSION = auto()
    ENDPOINT = auto()
    DRAIN = auto()
    WHITELIST = auto()
    ROUTE = auto()
    PORT = auto()
    BACKEND = auto()
    LIMITS = auto()
    SOURCE = auto()
    WAY_OUT = auto()


class Outcome(Enum):
    PASSED = auto()
    REFUSED = auto()
    NOT_REACHED = auto()


@dataclass(frozen=True, slots=True)
class TracedStep:
    """What a packet met, and what came of it, in the gateway's words."""

    met: Met
    outcome: Outcome
    message: str


@dataclass(frozen=True, slots=True)
class Traced:
    """What a gateway's forwarding made of a packet, by the name of a counter; `foreseen` is what the steps come to."""

    opening: Opening
    address: str
    steps: tuple[TracedStep, ...]
    verdict: str
    foreseen: str
    program: str = ""
    backend: str = ""
    server_port: int = 0
    seen_as: str = ""
    seen_port: int = 0

    @property
    def passes(self) -> bool:
        return self.verdict == FORWARDED
