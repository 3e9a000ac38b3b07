"""Sessions of the model of the forwarding, and when they are over."""

from dataclasses import dataclass, field

from services.gateway_agent.dataplane.sessions import timeout_of
from services.gateway_agent.table import ClientIdentity, Protocol, Timeouts
from tests.support.models.forwarding_packets import TCP, UDP, Packet, Tuple


@dataclass(slots=True)
class Side:
    """One direction: the packets it begins with, what they become, and what has been seen of them."""

    tuple: Tuple
    becomes: Tuple
    next_hop: bytes
    confirmed: bool = False  # an ACK of TCP, or any packet of UDP
    finished: bool = False
    reset: bool = False

    def note(self, packet: Packet) -> None:
        self.confirmed |= packet.ack or packet.tuple.protocol == UDP
        self.finished |= packet.fin
        self.reset |= packet.rst


@dataclass(slots=True)
class Session:
    """What `life` of an endpoint has let in; `idle` is for how many seconds no packet has passed."""

    endpoint: str
    life: int
    consumer: Side
    provider: Side
    identity: ClientIdentity = ClientIdentity.NONE  # as its port had it when it began
    idle: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the same ports may begin another."""
        consumer, provider = self.consumer, self.provider
        return consumer.reset or provider.reset or (consumer.finished and provider.finished)

    def limit(self, timeouts: Timeouts) -> int:
        """How many idle seconds it may last."""
        protocol = Protocol.TCP if self.consumer.tuple.protocol == TCP else Protocol.UDP
        two_way = self.consumer.confirmed and self.provider.confirmed
        return timeout_of(timeouts, protocol, two_way=two_way, closed=self.is_over)


@dataclass(slots=True)
class Sessions:
    """By the tuples of both directions; those that are over stay until somebody collects them."""

    entries: dict[Tuple, tuple[Session, Side]] = field(default_factory=dict)
    nobodys: set[Tuple] = field(default_factory=set)  # entries that tests put there to be in the way

    def count(self) -> int:
        """How many entries of IPv4 there are, two for each session."""
        return sum(key.source.version == 4 for key in self.entries) + len(self.nobodys)

    def holds(self, key: Tuple) -> bool:
        return key in self.entries or key in self.nobodys

    def find(self, key: Tuple) -> tuple[Session, Side] | None:
        return self.entries.get(key)

    def add(self, session: Session) -> None:
        for side in (session.consumer, session.provider):
            self.entries[side.tuple] = (session, side)

    def remove(self, session: Session) -> None:
        for side in (session.consumer, session.provider):
            self.entries.pop(side.tuple, None)

    def all(self) -> list[Session]:
        return [session for session, side in self.entries.values() if side is session.consumer]
