"""Tokens that have ended before their time, since their access key was revoked or has another secret. Bounded."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

REMEMBERED_SECONDS = 20 * 60
"""Longer than any token lives."""

EVERY = 0
SECOND = 1_000_000_000


@dataclass(frozen=True, eq=False, slots=True)
class Lease:
    """What goes on for as long as a key of this generation is good; `over` hears that it is not."""

    generation: int
    over: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """Tokens of the key of an earlier generation; of any, where it is EVERY. `at` is in nanoseconds since the epoch."""

    access_key: str
    before: int
    at: int


class EndedTokens:
    """Keys are ended one by one by the operator: what is held is as little as he can revoke in 20 minutes."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._ended: dict[str, Ended] = {}
        self._leases: dict[str, set[Lease]] = {}

    def end(self, ended: Ended) -> None:
        """From now on. Hearing it again, or of an earlier generation, changes nothing."""
        known = self._ended.get(ended.access_key)
        if known is not None and (known.before == EVERY or (ended.before != EVERY and ended.before <= known.before)):
            return
        self._forget()
        self._ended[ended.access_key] = ended
        for lease in tuple(self._leases.get(ended.access_key, ())):
            if self.has(ended.access_key, lease.generation):
                lease.over()

    @contextmanager
    def lease(self, access_key: str, generation: int, over: Callable[[], None]) -> Iterator[None]:
        """Calls `over` if the key ends within the block, or has ended by now."""
        lease = Lease(generation, over)
        self._leases.setdefault(access_key, set()).add(lease)
        try:
            if self.has(access_key, generation):
                over()
            yield
        finally:
            leases = self._leases[access_key]
            leases.discard(lease)
            if not leases:
                del self._leases[access_key]

    def has(self, access_key: str, generation: int) -> bool:
        found = self._ended.get(access_key)
        return found is not None and (found.before == EVERY or generation < found.before)

    def __iter__(self) -> Iterator[Ended]:
        self._forget()
        return iter(list(self._ended.values()))

    def _forget(self) -> None:
        """What ended so long ago that no token of then is left."""
        oldest = self._clock() - REMEMBERED_SECONDS * SECOND
        self._ended = {key: each for key, each in self._ended.items() if each.at >= oldest}
