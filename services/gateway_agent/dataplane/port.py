"""The port that every data plane implements: three verbs on a table, and facts about what hinders it."""

from collections.abc import Mapping
from typing import Protocol

from services.gateway_agent.backend_health import HealthFigures, ServiceHealth
from services.gateway_agent.captures import Capture
from services.gateway_agent.flows import FlowSource
from services.gateway_agent.packet_trace import Opening, PacketTrace
from services.gateway_agent.reach import Reach
from services.gateway_agent.table import Change, ForwardingTable, Key
from services.gateway_agent.traffic import Traffic


class DataplaneError(Exception):
    """The root of what a data plane raises."""


class NotReady(DataplaneError):
    """The change cannot be made yet (a namespace is not there, say); the text says why. Try again later."""


class ProxyMissing(DataplaneError):
    """There is no program on this machine that tells backends who clients are; the text says which."""


class Unusable(DataplaneError):
    """This machine cannot forward at all (no root, no BPF); the text says what is missing."""


class Dataplane(FlowSource, Protocol):
    """Forwards what its table says, and nothing else.

    Every prefix of a sequence of changes is safe: it forwards less than the whole, never wrongly. `apply` expects
    that what an entry needs is in the table already, and that nothing needs an entry that is removed.
    """

    async def open(self) -> None:
        """Takes hold of what an earlier process left in the kernel, or makes it new. Raises Unusable."""

    async def read(self) -> ForwardingTable:
        """The table as the kernel has it: read from the kernel, not from memory."""

    async def apply(self, change: Change) -> None:
        """Makes one change, visible at once or not at all. Raises NotReady."""

    def difficulties(self) -> Mapping[Key, str]:
        """What is in the table and yet does not pass packets, with the reason ('backend 10.0.0.9 does not answer')."""

    async def wait_for_news(self) -> None:
        """Returns when `difficulties` has changed, there is health news, or a device of ours went away, since the last
        return."""

    def health(self, service: str) -> ServiceHealth | None:
        """How the backends of a service are; None where it asks for no health check, or is not in the table."""

    def take_health_news(self) -> frozenset[str]:
        """Services whose backends' `health` is another in more than its figures, since the last call."""

    def health_figures(self) -> HealthFigures:
        """Health checks since this agent opened the data plane, and what backends are like now."""

    async def counters(self) -> Mapping[str, int]:
        """Packets forwarded and refused since the maps were made, by reason."""

    async def traffic(self) -> Mapping[str, Traffic]:
        """What has passed for every endpoint in the table, by its id."""

    def counting(self) -> str:
        """Names the life of what counts for endpoints: under another name, all of it began at 0."""

    async def traffic_of(self, endpoint: str) -> Traffic | None:
        """What has passed for one, but not what was refused, at a small cost; None if it is not in the table."""

    async def collect(self) -> int:
        """Removes sessions that are idle or closed; returns how many. Never stalls forwarding."""

    def sessions(self) -> int:
        """How many sessions there were after the last `collect`."""

    def session_capacity(self) -> int:
        """How many sessions fit."""

    async def reach(self, endpoint: str, seconds: float) -> Reach | None:
        """Tries out an endpoint as its packets would go, within so many seconds; None if it is not in the table.

        Nothing is changed by it: no session is opened, and connections to backends are given up as soon as they stand.
        Raises NotReady where a device went away meanwhile.
        """

    async def trace(self, endpoint: str, opening: Opening) -> PacketTrace | None:
        """What becomes of a client's first packet to an endpoint, step by step; None if it is not in the table.

        The forwarding itself decides, and is not changed by it: no packet is sent, no session opens, nothing is
        counted. Raises NotReady where it cannot be asked.
        """

    def capture(self, endpoint: str, snap: int) -> Capture | None:
        """Takes the first `snap` bytes of its packets on both sides from now on; None if it is not in the table.

        Raises NotReady where a side has no device.
        """

    async def close(self) -> None:
        """Lets go, and leaves the kernel forwarding: established sessions go on."""

    async def uninstall(self) -> None:
        """Removes every object of ours from the kernel that forwards; afterwards no packet passes.

        A veth into a VPC stays, shut: its other end may carry a tenant's addresses. A device that is somebody else's is
        given back as it was.
        """
