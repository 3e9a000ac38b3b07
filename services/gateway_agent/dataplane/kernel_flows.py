"""Flow records from the kernel's ring buffer, with the names of what the program knows by numbers."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple

from services.gateway_agent.annex_traffic import is_beside
from services.gateway_agent.dataplane.kernel_table import KernelTable
from services.gateway_agent.dataplane.libbpf import Map
from services.gateway_agent.dataplane.maps import COUNT, NUMBER, Counter
from services.gateway_agent.dataplane.ring_buffer import RingBuffer
from services.gateway_agent.dataplane.session_maps import FlowEnd, FlowValue
from services.gateway_agent.flows import CLOSED, CUT, IDLE, OFF, RESET, FlowRecord
from services.gateway_agent.routes import leads_to
from services.gateway_agent.table import Endpoint

ALL = (1 << 32) - 1
REMEMBERED = 4
"""Holders of a slot that are remembered: what ended is told of a moment after its endpoint has gone."""

MOST_WAITING = 10_000
_VERDICTS = {FlowEnd.CLOSED: CLOSED, FlowEnd.RESET: RESET, FlowEnd.IDLE: IDLE, FlowEnd.CUT: CUT}
_REASONS = tuple(Counter)


class _Holder(NamedTuple):
    """Who has a slot from an epoch on."""

    epoch: int
    vpc: int
    endpoint: Endpoint
    untold: bool = False  # an annex has it, and nobody asked for it


class KernelFlows:
    """One at a time reads `records`; what comes while nobody does, the ring buffer keeps, or loses."""

    def __init__(self, table: KernelTable, maps: Mapping[str, Map]) -> None:
        self._table = table
        self._ring, self._options, self._counters = maps["flows"], maps["options"], maps["counters"]
        self._holders: dict[int, deque[_Holder]] = {}
        self._waiting: deque[FlowRecord] = deque()
        self._left_out = 0
        for endpoint in table.entries.endpoints():
            self.note(endpoint)

    def note(self, endpoint: Endpoint) -> None:
        """It is in the table as it is now."""
        slot = self._table.slot(endpoint.id)
        untold = is_beside(endpoint, self._table.entries.service(endpoint.service))
        holder = _Holder(self._table.epoch(slot), self._table.vpc_number(endpoint.vpc), endpoint, untold)
        self._holders.setdefault(slot, deque(maxlen=REMEMBERED)).append(holder)

    def sample(self, one_of: int) -> None:
        wanted = 0 if one_of == OFF else ALL // one_of
        self._options.put(NUMBER.pack(0), COUNT.pack(wanted))

    def lost(self) -> int:
        """By the kernel for want of room in the ring buffer, since the maps were made, and here."""
        per_cpu = self._counters.get(NUMBER.pack(_REASONS.index(Counter.FLOW_RECORD_LOST))) or b""
        in_the_kernel: int = sum(count for (count,) in COUNT.iter_unpack(per_cpu))
        return self._left_out + in_the_kernel

    async def records(self) -> AsyncGenerator[FlowRecord, None]:
        waiting, news = self._waiting, asyncio.Event()
        if waiting:
            news.set()

        def heard(data: bytes) -> None:
            told = FlowValue.unpack(data)
            holder = self._holder(told)
            if holder is not None and holder.untold:
                return
            record = _named(told, holder.endpoint) if holder else None
            if record is None or len(waiting) >= MOST_WAITING:
                self._left_out += 1
                return
            waiting.append(record)
            news.set()

        with RingBuffer(self._ring, heard):
            while True:
                await news.wait()
                while waiting:
                    yield waiting.popleft()
                news.clear()

    def _holder(self, told: FlowValue) -> _Holder | None:
        """None if it is of an endpoint that an earlier agent had, and that has gone."""
        return next((each for each in reversed(self._holders.get(told.slot, ())) if _is_of(told, each)), None)


def _named(told: FlowValue, of: Endpoint) -> FlowRecord:
    since = time.time_ns() - time.monotonic_ns()
    return FlowRecord(
        endpoint=of.id,
        marker=of.marker,
        service=of.service,
        vpc=of.vpc,
        protocol=told.protocol,
        client=told.client,
        client_port=told.client_port,
        address=told.endpoint,
        port=told.endpoint_port,
        verdict=_VERDICTS.get(told.end) or _REASONS[told.reason].value,
        began=since + told.began,
        ended=since + told.ended,
        packets_in=told.packets[0],
        packets_out=told.packets[1],
        bytes_in=told.lengths[0],
        bytes_out=told.lengths[1],
    )


def _is_of(told: FlowValue, holder: _Holder) -> bool:
    """A slot has another holder only with a higher epoch; a refusal tells none, and is of who had it a moment ago."""
    if told.vpc != holder.vpc or not leads_to(holder.endpoint, told.endpoint):
        return False
    return told.end is FlowEnd.REFUSED or holder.epoch <= told.epoch
