"""Ways to the OpenID provider and back: each begun by a visitor of ours, walked by him alone, once, within minutes."""

import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

LONGEST_SECONDS = 600
MOST_USED = 10_000


class Astray(Exception):
    """Who comes back did not set out from here, or long ago, or has come back before."""


@dataclass(frozen=True, slots=True)
class Way:
    """`state` and `nonce` go by the browser; `verifier` stays here until the provider is asked (PKCE)."""

    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


class Ways:
    """All follows from the visit's cookie and the state by a key of this process: whoever sets out fills no memory."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._key, self._clock = secrets.token_bytes(32), clock
        self._used: OrderedDict[str, None] = OrderedDict()

    def begin(self, visit: str) -> Way:
        start = f"{secrets.token_urlsafe(16)}.{int(self._clock()):x}"
        return self._of(f"{start}.{self._made('state', visit, start)}", visit)

    def back(self, state: str, visit: str) -> Way:
        """The way that the visitor set out on. Raises Astray."""
        start, _dot, made = state.rpartition(".")
        if not visit or not hmac.compare_digest(made.encode(), self._made("state", visit, start).encode()):
            raise Astray("it is no way of this browser")
        if self._clock() - int(start.rpartition(".")[2], 16) > LONGEST_SECONDS:
            raise Astray("it was too long")
        if state in self._used:
            raise Astray("it was walked before")
        self._used[state] = None
        if len(self._used) > MOST_USED:
            self._used.popitem(last=False)
        return self._of(state, visit)

    def _of(self, state: str, visit: str) -> Way:
        return Way(state, self._made("nonce", visit, state), self._made("verifier", visit, state))

    def _made(self, what: str, visit: str, of: str) -> str:
        text = "\n".join((what, sha256(visit.encode()).hexdigest(), of))
        return urlsafe_b64encode(hmac.digest(self._key, text.encode(), sha256)).decode().rstrip("=")
