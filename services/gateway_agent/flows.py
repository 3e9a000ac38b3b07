"""What passed in one session, told when it is over, and openings that were refused. Values."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final, Protocol

from services.gateway_agent import table

OPEN: Final = "open"  # it had not ended when it was told
CLOSED: Final = "closed"  # both sides had said that they are done
IDLE: Final = "idle"  # no packet came for its service's time
RESET: Final = "reset"  # one side broke it off
CUT: Final = "cut"  # endpoint, whitelist, port or drain let it pass no more
REFUSED: Final = "refused_"  # and the reason, as `Counter` names it: it did not open
FULL: Final = 1
OFF: Final = 0


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """One session as it is in the consumer's VPC, or an attempt at one. `endpoint`, `service`, `vpc`: UUIDs.

    `in` is from the client, `out` to it; bytes are those of IP packets. `began` and `ended` are in nanoseconds since
    the epoch: of its first packet, and of the moment in which it was found to be over, up to its service's idle time
    and a round of the collector after its last packet. A refused opening is one packet, without its length.
    """

    endpoint: str
    marker: int
    service: str
    vpc: str
    protocol: table.Protocol
    client: table.Address
    client_port: int
    address: table.Address  # the endpoint's
    port: int
    verdict: str
    began: int
    ended: int
    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0


class FlowSource(Protocol):
    """What a data plane tells of sessions. It never waits for whoever reads: what is not read in time is lost, and
    counted."""

    def sample_flows(self, one_of: int) -> None:
        """Tells of one in so many sessions that open from now on, chosen at random; FULL: of all, OFF: of none."""

    def flows(self) -> AsyncGenerator[FlowRecord, None]:
        """As they end, until the iterator is closed; one at a time reads."""

    def lost_flows(self) -> int:
        """How many were not told, since nobody had read those before them."""
