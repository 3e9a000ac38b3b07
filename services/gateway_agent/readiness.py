"""Whether this gateway forwards what it should, for health checks.

A tenant's namespace that is not there is a difficulty of his endpoints, not of the gateway.
A control plane that is away is no reason to say no: what was heard of is forwarded until the fence goes up, and
whoever took this gateway out of use meanwhile would cut its sessions.
"""

from services.gateway_agent.fence import Fence
from services.gateway_agent.reconciler import Reconciler

PATIENCE_SECONDS = 5.0
"""A gateway at work is behind for moments: changes take effect one after another."""


class Readiness:
    def __init__(self, reconciler: Reconciler, fence: Fence) -> None:
        self._reconciler, self._fence = reconciler, fence
        self._done_at: float | None = None

    async def difficulty(self) -> str:
        """Why this gateway does not forward what it should; empty if it does."""
        now = self._fence.now()
        if self._fence.up:
            self._done_at = None
            return "forwarding has stopped: the control plane has no use for it, or is away for too long"
        if self._reconciler.tried_all:
            self._done_at = now
        if self._done_at is None:
            return "it has not yet put the whole table into the kernel"
        behind = now - self._done_at
        return f"it has been behind its table for {behind:.0f} s" if behind > PATIENCE_SECONDS else ""
