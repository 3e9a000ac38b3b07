"""What the model of the forwarding says and is told: devices, verdicts, what a client is granted, what has passed."""

from collections import Counter as Tally
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.gateway_agent.dataplane.maps import Counter
from services.gateway_agent.table import SOURCE_PREFIX_V6, Address, Backend, Endpoint, Service
from tests.support.models.forwarding_identity import Way
from tests.support.models.forwarding_limits import Moment
from tests.support.models.forwarding_packets import Tuple

FIRST_SOURCE_PORT = 1024


@dataclass(frozen=True, slots=True)
class Device:
    """What faces a VPC; an `mtu` of 0 is not looked at. `told` is what SYNs are held to; 0: it is not known."""

    ifindex: int
    mac: bytes
    mtu: int = 0
    told: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is counted, in order, and what comes out of which device; the last count says what became of the frame."""

    counts: tuple[Counter, ...]
    frame: bytes | None = None
    device: int = 0

    @property
    def kept(self) -> bool:
        """Whether the frame goes on into this machine: what the agent learns neighbours from."""
        return self.counts[-1] in (Counter.ARP_PASSED, Counter.ND_PASSED)


@dataclass(frozen=True, slots=True)
class Grant:
    """What the table says to a client that may connect; the backend by the number of its VPC and its MAC address."""

    endpoint: Endpoint
    service: Service
    way: Way
    backend: Backend
    vpc: int
    mac: bytes

    def kept(self, client: Tuple) -> Tuple | None:
        """The tuple of the backend's packets where it sees the client's own address."""
        if not self.way.service.keeps_source:
            return None
        seen, port = client.source, client.source_port
        return Tuple(self.backend.address, seen, self.way.server_port, port, self.vpc, client.protocol)

    def allows(self, provider: Tuple, protocol: int) -> bool:
        """Whether the backend's packets may have this tuple, where it does not."""
        leased = (self.endpoint.source_address, *self.endpoint.more_sources)
        sources: Sequence[Address] = leased
        if self.endpoint.address.version == 6:
            sources = [SOURCE_PREFIX_V6.network_address + int(each) for each in leased]
        expected = Tuple(
            source=self.backend.address,
            destination=provider.destination,
            source_port=self.way.server_port,
            destination_port=provider.destination_port,
            vpc=self.vpc,
            protocol=protocol,
        )
        return (
            provider == expected and provider.destination in sources and provider.destination_port >= FIRST_SOURCE_PORT
        )


Chosen = Callable[[Tuple], Tuple | None]
"""The tuple of the backend's packets that the program has chosen for a client's."""


@dataclass(slots=True)
class Passed:
    """Of one endpoint, as `Traffic` tells it; packets and bytes from the consumer and to it."""

    made: int = 0
    packets: list[int] = field(default_factory=lambda: [0, 0])
    bytes: list[int] = field(default_factory=lambda: [0, 0])
    refused: "Tally[Counter]" = field(default_factory=Tally)


@dataclass(slots=True)
class Passage:
    """One frame on its way: what is counted, and the endpoint that it is about, as soon as that is known."""

    now: Moment
    chosen: Chosen
    counts: list[Counter] = field(default_factory=list)
    endpoint: str | None = None
