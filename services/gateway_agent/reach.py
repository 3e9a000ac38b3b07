"""What came of trying an endpoint out, from where its gateway stands. Values."""

from dataclasses import dataclass
from enum import StrEnum

from services.gateway_agent.packet_trace import Opening, PacketTrace
from services.gateway_agent.table import Address, ClientIdentity, Protocol, Service

MOST_ATTEMPTS = 64
"""Ports of backends that are tried in one test; the others are left out."""


class Outcome(StrEnum):
    """What became of an attempt to reach a port of a backend."""

    OPEN = "open"
    REFUSED = "refused"
    SILENT = "silent"
    UNRESOLVED = "unresolved"
    """Its machine does not answer ARP."""

    PRESENT = "present"
    """Its machine answers ARP, and the port is of a kind that says no more: UDP."""

    NO_PROXY = "no_proxy"
    """It took the connection, and ended it or complained when it was sent a PROXY header, as the service says to."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A port of a backend, and what became of the attempt."""

    backend: Address
    port: int
    protocol: Protocol
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Reach:
    """`answers`: this gateway answers ARP for the endpoint's address, from the device with the MAC address `mac`.

    `claimants` are MAC addresses of others in the consumer's VPC who say that the address is theirs.
    """

    answers: bool
    mac: str = ""
    claimants: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """A wish of the control plane's: try this endpoint out within so many seconds, or say what becomes of a packet."""

    id: str
    endpoint: str
    seconds: float
    opening: Opening | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a probe. `reach` and `trace` are None where the endpoint is not in the table, or could not be
    tried; and one of them is always, for only the other was asked for."""

    position: int
    generation: int
    hindrance: str
    reach: Reach | None = None
    trace: PacketTrace | None = None


def served(service: Service) -> tuple[tuple[int, Protocol], ...]:
    """The ports that a backend of the service serves, each once."""
    return tuple(dict.fromkeys((mapping.server_port, mapping.protocol) for mapping in service.ports))


def told(service: Service) -> frozenset[int]:
    """The ports of those that expect a PROXY header, and that nobody is sent to without one."""
    ports = {each.server_port for each in service.ports if each.identity is ClientIdentity.PROXY}
    return frozenset(ports - {each.server_port for each in service.ports if each.identity is not ClientIdentity.PROXY})
