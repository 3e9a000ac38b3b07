"""One capture with its limits: packets, bytes and time, whichever is reached first."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from services.gateway_agent.captures import LONGEST_SNAP, Capture, Captured
from services.gateway_agent.dataplane.port import NotReady

MOST_PACKETS = 1_000_000
MOST_BYTES = 1 << 30
LONGEST_SECONDS = 3600.0
MESSAGE_BYTES = 1 << 20
"""What one message holds; gRPC takes four times as much."""


class Ended(Enum):
    PACKETS = auto()
    TIME = auto()
    BYTES = auto()
    GONE = auto()


@dataclass(frozen=True, slots=True)
class CaptureLimits:
    """`seconds` from the first look; `bytes` of what is taken of packets; `snap`: of each."""

    packets: int = MOST_PACKETS
    seconds: float = LONGEST_SECONDS
    bytes: int = MOST_BYTES
    snap: int = LONGEST_SNAP


class Capturing:
    """Iterates over what is taken, in parts that fit in a message; `ended` says why there is no more."""

    def __init__(self, capture: Capture, limits: CaptureLimits) -> None:
        self._capture, self._limits = capture, limits
        self.packets, self._bytes = 0, 0
        self.ended: Ended | None = None

    async def parts(self) -> AsyncGenerator[Sequence[Captured], None]:
        deadline = asyncio.get_running_loop().time() + self._limits.seconds
        while self.ended is None:
            try:
                async with asyncio.timeout_at(deadline):
                    batch = await self._capture.batch()
            except TimeoutError:
                self.ended = Ended.TIME
                return
            except NotReady:
                self.ended = Ended.GONE
                return
            for part in _parts(self._within(batch)):
                yield part

    def _within(self, batch: Sequence[Captured]) -> Sequence[Captured]:
        """As many of them as there may be."""
        for number, each in enumerate(batch):
            self.packets += 1
            self._bytes += len(each.data)
            if self.packets >= self._limits.packets:
                self.ended = Ended.PACKETS
            elif self._bytes >= self._limits.bytes:
                self.ended = Ended.BYTES
            if self.ended is not None:
                return batch[: number + 1]
        return batch


def _parts(batch: Sequence[Captured]) -> Sequence[Sequence[Captured]]:
    parts: list[list[Captured]] = [[]]
    size = 0
    for each in batch:
        if size > MESSAGE_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(each)
        size += len(each.data)
    return parts
