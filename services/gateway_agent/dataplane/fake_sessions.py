"""Sessions of the fake data plane: what has been seen of them, and when they are over."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.gateway_agent.dataplane.sessions import timeout_of
from services.gateway_agent.flows import CLOSED, IDLE, RESET
from services.gateway_agent.table import ClientIdentity, Timeouts

if TYPE_CHECKING:
    from services.gateway_agent.dataplane.fake_kernel import Flow, Packet

BOTH = 2


@dataclass(slots=True)
class Session:
    endpoint: str
    consumer: "Flow"  # as the client sends
    provider: "Flow"  # as the backend answers
    last_seen: float
    identity: ClientIdentity = ClientIdentity.NONE
    confirmed: set["Flow"] = field(default_factory=set)
    finished: set["Flow"] = field(default_factory=set)
    reset: bool = False

    @property
    def closed(self) -> bool:
        return self.reset or len(self.finished) == BOTH

    @property
    def ending(self) -> str:
        """How it has ended, where it has not been cut."""
        return RESET if self.reset else CLOSED if self.closed else IDLE

    def is_over(self, now: float, timeouts: Timeouts) -> bool:
        two_way = len(self.confirmed) == BOTH
        return now - self.last_seen >= timeout_of(timeouts, self.consumer.protocol, two_way=two_way, closed=self.closed)

    def note(self, packet: "Packet", now: float) -> None:
        self.last_seen = now
        if packet.confirms:
            self.confirmed.add(packet.flow)
        if packet.finishes:
            self.finished.add(packet.flow)
        self.reset = self.reset or packet.resets
