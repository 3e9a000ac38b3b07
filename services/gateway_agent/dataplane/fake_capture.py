"""Packets of the fake data plane, taken as a packet socket would: as frames, on both sides."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.gateway_agent.captures import Captured, Side, TappedDevice
from services.gateway_agent.dataplane.crafted import first_frame
from services.gateway_agent.packet_trace import Opening

if TYPE_CHECKING:
    from services.gateway_agent.dataplane.fake_kernel import Flow

NOBODY = bytes(6)


class FakeCapture:
    """Told of packets by `see`; which are of its endpoint, the kernel that tells it knows."""

    def __init__(self, endpoint: str, snap: int) -> None:
        self.endpoint = endpoint
        self.devices = (
            TappedDevice(Side.CONSUMER, "consumer0", "", ""),
            TappedDevice(Side.PROVIDER, "provider0", "", ""),
        )
        self._snap = snap
        self._waiting: list[Captured] = []
        self._news = asyncio.Event()
        self.lost = 0
        self.closed = False

    def see(self, side: Side, flow: "Flow", *, outbound: bool) -> None:
        opening = Opening(flow.source, flow.source_port, flow.destination_port, flow.protocol)
        frame = first_frame(opening, flow.destination, sender=NOBODY, receiver=NOBODY)
        number = [device.side for device in self.devices].index(side)
        self._waiting.append(Captured(number, time.time_ns(), outbound, len(frame), frame[: self._snap]))
        self._news.set()

    async def batch(self) -> Sequence[Captured]:
        await self._news.wait()
        self._news.clear()
        captured, self._waiting = self._waiting, []
        return captured

    def dropped(self) -> int:
        return self.lost

    def close(self) -> None:
        self.closed = True
