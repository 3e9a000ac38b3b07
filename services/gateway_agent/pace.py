"""How often an agent does what it does, in seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """`poll`: asks the log itself while NATS gives nothing. `compare`: digests. `audit`: reads the kernel whole.

    `collect`: removes sessions that are over, and reads what has passed. `look`: whether that is to be read sooner.
    `tell`: what has passed is told, where reading it costs little. `retry`: what the data plane could not do, from the
    first to the second. `reconnect`: the control plane, likewise. `fence_after`: until a Join says otherwise.
    """

    poll: float = 0.5
    compare: float = 30.0
    audit: float = 60.0
    collect: float = 5.0
    look: float = 1.0
    tell: float = 2.0
    retry: tuple[float, float] = (0.2, 5.0)
    reconnect: tuple[float, float] = (0.05, 1.0)
    fence_after: float = 3600.0
