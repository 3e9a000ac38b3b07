"""What the fake data plane tells of sessions, as a ring buffer of the kernel would: bounded, and never waiting."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from services.gateway_agent.flows import FULL, OFF, REFUSED, FlowRecord
from services.gateway_agent.table import Endpoint

if TYPE_CHECKING:
    from services.gateway_agent.dataplane.fake_kernel import Flow, Packet

ROOM = 1000
RANGE = 1 << 32


class FakeFlows:
    """Follows the sessions of a fake kernel by the consumer's flow."""

    def __init__(self, wall_clock: Callable[[], int] = time.time_ns, room: int = ROOM) -> None:
        self._wall_clock, self._room = wall_clock, room
        self._one_of = OFF
        self._open: dict[Flow, FlowRecord] = {}
        self._told: deque[FlowRecord] = deque()
        self._news = asyncio.Event()
        self.lost = 0

    def sample(self, one_of: int) -> None:
        self._one_of = one_of

    def passed(self, consumer: "Flow", packet: "Packet", endpoint: Endpoint | None) -> None:
        """A packet of the session that has this flow on the consumer's side."""
        record = self._open.get(consumer) or (self._record(consumer, endpoint) if endpoint else None)
        if record is None:
            return
        if packet.flow == consumer:
            record = replace(record, packets_in=record.packets_in + 1, bytes_in=record.bytes_in + packet.size)
        else:
            record = replace(record, packets_out=record.packets_out + 1, bytes_out=record.bytes_out + packet.size)
        self._open[consumer] = replace(record, ended=self._wall_clock())

    def ended(self, consumer: "Flow", verdict: str) -> None:
        if record := self._open.pop(consumer, None):
            self._tell(replace(record, verdict=verdict), consumer)

    def refused(self, packet: "Packet", endpoint: Endpoint, reason: str) -> None:
        """An opening that did not become a session."""
        record = replace(self._record(packet.flow, endpoint), verdict=REFUSED + reason)
        self._tell(replace(record, packets_in=1, bytes_in=packet.size), packet.flow)

    async def records(self) -> AsyncGenerator[FlowRecord, None]:
        while True:
            while self._told:
                yield self._told.popleft()
            self._news.clear()
            await self._news.wait()

    def _tell(self, record: FlowRecord, flow: "Flow") -> None:
        if not self._is_chosen(flow):
            return
        if len(self._told) >= self._room:
            self.lost += 1
            return
        self._told.append(record)
        self._news.set()

    def _is_chosen(self, flow: "Flow") -> bool:
        if self._one_of in (OFF, FULL):
            return self._one_of == FULL
        number = int.from_bytes(blake2b(repr(flow).encode(), digest_size=4).digest(), "big")
        return number < RANGE // self._one_of

    def _record(self, flow: "Flow", endpoint: Endpoint) -> FlowRecord:
        at = self._wall_clock()
        return FlowRecord(
            endpoint=endpoint.id,
            marker=endpoint.marker,
            service=endpoint.service,
            vpc=flow.vpc,
            protocol=flow.protocol,
            client=flow.source,
            client_port=flow.source_port,
            address=flow.destination,
            port=flow.destination_port,
            verdict="",
            began=at,
            ended=at,
        )
