"""Signatures of writes that were served: what was overheard cannot be said again, and nobody can fill the memory."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable

WINDOW_SECONDS = 15 * 60
"""How far the time of a signature may be from ours."""

TWIN_SECONDS = 2
"""Dates have whole seconds, so two equal requests of one second have one signature: a client cannot tell them apart."""

MOST, MOST_OF_A_KEY = 500_000, 100_000


class Full(Exception):
    """More writes than can be remembered."""


class Replays:
    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._served: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        self._by_key = Counter[str]()

    def take(self, access_key: str, signature: bytes, *, signed_at: float, once: bool) -> bool:
        """False for what was served before. Raises Full.

        Where doing it twice is doing it `once`, equal requests are let through that a client may well have meant: as
        long as it could not have given them another signature.
        """
        now = self._clock()
        self._forget(now)
        key = (access_key, signature)
        if key in self._served:
            return not once and abs(now - signed_at) <= TWIN_SECONDS
        if len(self._served) >= MOST or self._by_key[access_key] >= MOST_OF_A_KEY:
            raise Full
        self._served[key] = now + 2 * WINDOW_SECONDS
        self._by_key[access_key] += 1
        return True

    def _forget(self, now: float) -> None:
        while self._served and next(iter(self._served.values())) < now:
            (access_key, _), _ = self._served.popitem(last=False)
            self._by_key[access_key] -= 1
            if not self._by_key[access_key]:
                del self._by_key[access_key]
