"""The limits that the operator sets; durations in nanoseconds."""

from dataclasses import dataclass

from services.common.clock import SECOND

UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class Limits:
    """`endpoints` is how many a project may have. A gateway silent for `lease` is lost; by `fence_after` later it has
    stopped forwarding by itself. An endpoint that is Creating for `creation_deadline` fails. `tests` is how
    often a project may try out in a minute whether packets pass.
    """

    endpoints: int = 50
    lease: int = 30 * SECOND
    fence_after: int = 3600 * SECOND
    creation_deadline: int = 120 * SECOND
    tests: int = 12
