"""From a signature to a token; and what other programs must know to verify tokens."""

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.common.errors import QuotaReached
from services.common.identity.attempts import Buckets
from services.common.identity.ended import EVERY, REMEMBERED_SECONDS, SECOND, Ended, EndedTokens
from services.common.identity.tokens import Issuer
from services.common.rpc.auth import NotProved
from services.registry.application.accounts import Secrets
from services.registry.projections import ACCESS_KEY, Resources, Snapshot
from services.registry.wire.accounts import key_of
from sidegate.credentials import signature

WINDOW_SECONDS = 300
"""How far a caller's clock may be off."""

MOST_NONCES = 100_000
BURST, EVERY_SECONDS = 20, 3.0
"""Failed attempts with one access key from one address: more are refused unseen."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a caller signs with its secret; `timestamp` is in seconds since the epoch."""

    access_key: str
    timestamp: int
    nonce: bytes
    signature: bytes


class Nonces:
    """Those taken within the window, so that what was overheard cannot be said again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._taken: OrderedDict[tuple[str, bytes], float] = OrderedDict()

    def take(self, access_key: str, nonce: bytes) -> bool:
        """False for one that was taken before. Raises QuotaReached where there are too many to remember."""
        now = self._clock()
        while self._taken and next(iter(self._taken.values())) < now:
            self._taken.popitem(last=False)
        if (access_key, nonce) in self._taken:
            return False
        if len(self._taken) >= MOST_NONCES:
            raise QuotaReached("TOO_MANY_TOKENS", "more tokens are asked for than can be given: use each for longer")
        self._taken[access_key, nonce] = now + 2 * WINDOW_SECONDS
        return True


class Tokens:
    def __init__(
        self,
        resources: Resources,
        vault: Secrets,
        issuer: Issuer,
        ended: EndedTokens,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._resources, self._vault, self.issuer, self.ended = resources, vault, issuer, ended
        self._clock, self._nonces = clock, Nonces(clock)
        self._failures = Buckets(BURST, EVERY_SECONDS)

    async def issue(self, proof: Proof, peer: str) -> tuple[str, int]:
        """A token and when it ends (seconds since the epoch). Raises NotProved, whatever was wrong."""
        suspect = f"{peer} {proof.access_key}"
        if self._failures.empty(suspect):
            raise NotProved("TOO_MANY_ATTEMPTS", proof.access_key)
        try:
            return await self._issue(proof)
        except NotProved:
            self._failures.take(suspect)
            raise

    async def _issue(self, proof: Proof) -> tuple[str, int]:
        found = await self._resources.get(ACCESS_KEY, proof.access_key)
        key = None if found is None or found.access_key.HasField("revoke_time") else key_of(found.access_key)
        secret_id = "" if found is None else found.access_key_created.secret_id or found.access_key_rotated.secret_id
        secret = await self._vault.reveal(secret_id, proof.access_key)
        # As much work for a key that is not there: the time that it takes tells nothing.
        expected = signature(secret or secrets.token_hex(16), proof.access_key, proof.timestamp, proof.nonce)
        fits = hmac.compare_digest(expected, proof.signature)
        if key is None or secret is None or not fits:
            raise NotProved("KEY_UNKNOWN" if key is None else "SIGNATURE_WRONG", proof.access_key)
        if abs(self._clock() - proof.timestamp) > WINDOW_SECONDS:
            raise NotProved("CLOCK_OFF", proof.access_key)
        if not self._nonces.take(proof.access_key, proof.nonce):
            raise NotProved("NONCE_TAKEN", proof.access_key)
        return self.issuer.issue(key.id, key.account, key.project, key.role, key.generation)

    async def recall(self) -> None:
        """After a start: tokens that were ended a moment before it stay ended."""
        since = int((self._clock() - REMEMBERED_SECONDS) * SECOND)
        for ended in await self._resources.read(lambda now: _ended(now, since)):
            self.ended.end(ended)


def _ended(now: Snapshot, since: int) -> Sequence[Ended]:
    keys = (key_of(event.access_key) for event in now.all(ACCESS_KEY, states=()))
    found = []
    for key in keys:
        if key.revoked_at >= since:
            found.append(Ended(key.id, EVERY, key.revoked_at))
        elif key.rotated_at >= since:
            found.append(Ended(key.id, key.generation, key.rotated_at))
    return found
