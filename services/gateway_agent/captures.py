"""Packets of one endpoint as they were seen on the two sides of the gateway. Values, and what gives them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

LONGEST_SNAP = 262_144


class Side(StrEnum):
    """Whose VPC a device faces."""

    CONSUMER = "consumer"
    PROVIDER = "provider"
    BOTH = "both"
    """Consumer and provider share it."""


@dataclass(frozen=True, slots=True)
class TappedDevice:
    """A device that packets are taken on, where it is (empty: where the agent is), and which, in tcpdump's words."""

    side: Side
    name: str
    namespace: str
    filter: str


@dataclass(frozen=True, slots=True)
class Captured:
    """A packet: on which device (its place in the list), when (nanoseconds since the epoch), and its first bytes.

    `length` is in bytes, with the Ethernet header. It was outbound if it went from the gateway into the VPC.
    """

    device: int
    at: int
    outbound: bool
    length: int
    data: bytes


class Capture(Protocol):
    """What passes, until it is closed; forwarding never waits for it."""

    @property
    def devices(self) -> Sequence[TappedDevice]: ...

    async def batch(self) -> Sequence[Captured]:
        """What has passed since the last time, at least one packet. Raises NotReady where a device went away."""

    def dropped(self) -> int:
        """How many packets there was no room for."""

    def close(self) -> None: ...
