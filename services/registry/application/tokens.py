"""From a signature to a token; and what other programs must know to verify tokens."""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from services.common.errors import QuotaReached
from services.common.eventsourcing.store import Unavailable
from services.common.identity.attempts import BURST, EVERY_SECONDS, Buckets
from services.common.identity.ended import EVERY, REMEMBERED_SECONDS, SECOND, Ended, EndedTokens
from services.common.identity.tokens import Issuer
from services.common.principal import Role
from services.common.rpc.auth import NotProved
from services.registry.application.accounts import Secrets
from services.registry.domain.account import AccessKey
from services.registry.projections import ACCESS_KEY, Resources, Snapshot
from services.registry.wire.accounts import key_of
from sidegate.credentials import signature

WINDOW_SECONDS = 300
"""How far a caller's clock may be off."""

MOST_NONCES, OPERATORS_NONCES = 100_000, 10_000
"""How many are remembered, and how many of these are for the operator, who must be able to end what fills them."""

TOKENS_AT_ONCE, TOKEN_EVERY_SECONDS = 500, 0.5
"""Of an account: what one takes of the nonces, and of the registry's log, others do not have."""

RENEWED_BEFORE_SECONDS = 5 * 60
"""A token that ends so soon is not given again."""

MOST_GIVEN = 10_000


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Proof:
    """What a caller signs with its secret; `timestamp` is in seconds since the epoch."""

    access_key: str
    timestamp: int
    nonce: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """A request to the HTTPS API: what its maker, at that address, has signed in the way of that API."""

    access_key: str
    string_to_sign: bytes
    signature: bytes
    peer: str


@dataclass(frozen=True, slots=True)
class Bearing:
    """Whose a signature is, and a token to act for him; it ends at `ends` (seconds since the epoch)."""

    key: AccessKey
    token: str
    ends: int


class Taken(Protocol):
    """Where nonces are kept that were taken, so that a restart forgets none. Times are seconds since the epoch."""

    async def recall(self) -> Mapping[bytes, float]:
        """Those that are there, with when each may be forgotten."""

    async def keep(self, taken: bytes, until: float, over: Sequence[bytes]) -> None:
        """Keeps one durably, and forgets those that are over."""


class Nonces:
    """Those taken within the window, so that what was overheard cannot be said again, by a restart neither."""

    def __init__(self, kept: Taken, clock: Callable[[], float]) -> None:
        self._kept, self._clock = kept, clock
        self._taken: OrderedDict[bytes, float] | None = None
        self._turn = asyncio.Lock()

    async def take(self, access_key: str, nonce: bytes, reserve: int = 0) -> bool:
        """False for one that was taken before. Raises QuotaReached where there are too many to remember, but for a
        `reserve`."""
        taken, now, over = await self._recalled(), self._clock(), []
        while taken and next(iter(taken.values())) < now:
            over.append(taken.popitem(last=False)[0])
        digest = hashlib.sha256(f"{access_key}\n".encode() + nonce).digest()
        if digest in taken:
            return False
        if len(taken) >= MOST_NONCES - reserve:
            raise _too_many()
        taken[digest] = now + 2 * WINDOW_SECONDS
        try:
            await self._kept.keep(digest, taken[digest], over)
        except (
            Unavailable
        ) as error:  # a full disk must not lock out who comes to look: until a restart this one is known
            log.warning("a nonce is not kept", why=str(error))
        return True

    async def recall(self) -> None:
        """At a start, while the database can be written to."""
        await self._recalled()

    async def _recalled(self) -> OrderedDict[bytes, float]:
        async with self._turn:
            if self._taken is None:
                kept = await self._kept.recall()
                self._taken = OrderedDict(sorted(kept.items(), key=lambda each: each[1]))
            return self._taken


class Tokens:
    def __init__(
        self,
        resources: Resources,
        vault: Secrets,
        issuer: Issuer,
        ended: EndedTokens,
        *,
        taken: Taken,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._resources, self._vault, self.issuer, self.ended = resources, vault, issuer, ended
        self._clock, self._nonces = clock, Nonces(taken, clock)
        self._failures = Buckets(BURST, EVERY_SECONDS)
        self._issued = Buckets(TOKENS_AT_ONCE, TOKEN_EVERY_SECONDS)
        self._given: OrderedDict[tuple[str, int], tuple[str, int]] = OrderedDict()

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

    async def verify(self, signed: Signed) -> Bearing:
        """Whose the signature is. Raises NotProved, whatever was wrong."""
        suspect = f"{signed.peer} {signed.access_key}"
        if self._failures.empty(suspect):
            raise NotProved("TOO_MANY_ATTEMPTS", signed.access_key, signed.peer)
        try:
            key = await self._signer(signed)
        except NotProved:
            self._failures.take(suspect)
            raise
        return Bearing(key, *self._token(key))

    async def _signer(self, signed: Signed) -> AccessKey:
        key, secret = await self._secret_of(signed.access_key)
        # As in `_issue`: as much work for a key that is not there.
        expected = hmac.digest((secret or secrets.token_hex(16)).encode(), signed.string_to_sign, "sha256")
        fits = hmac.compare_digest(expected, signed.signature)
        if key is None or secret is None or not fits:
            why = "KEY_UNKNOWN" if key is None else "SIGNATURE_WRONG"
            raise NotProved(why, signed.access_key, signed.peer)
        return key

    def _token(self, key: AccessKey) -> tuple[str, int]:
        """The one that was given before, while it is good for long: verifiers know it by then."""
        token, ends = self._given.get((key.id, key.generation), ("", 0))
        if ends - self._clock() < RENEWED_BEFORE_SECONDS:
            token, ends = self.issuer.issue(key.id, key.account, key.project, key.role, key.generation)
            self._given[key.id, key.generation] = token, ends
            if len(self._given) > MOST_GIVEN:
                self._given.popitem(last=False)
        return token, ends

    async def _secret_of(self, access_key: str) -> tuple[AccessKey | None, str | None]:
        """A key and its secret; None for a key that is not there or revoked, and for a secret that lies nowhere."""
        found = await self._resources.get(ACCESS_KEY, access_key)
        key = None if found is None or found.access_key.HasField("revoke_time") else key_of(found.access_key)
        secret_id = "" if found is None else found.access_key_created.secret_id or found.access_key_rotated.secret_id
        return key, await self._vault.reveal(secret_id, access_key)

    async def _issue(self, proof: Proof) -> tuple[str, int]:
        key, secret = await self._secret_of(proof.access_key)
        # As much work for a key that is not there: the time that it takes tells nothing.
        expected = signature(secret or secrets.token_hex(16), proof.access_key, proof.timestamp, proof.nonce)
        fits = hmac.compare_digest(expected, proof.signature)
        if key is None or secret is None or not fits:
            raise NotProved("KEY_UNKNOWN" if key is None else "SIGNATURE_WRONG", proof.access_key)
        if abs(self._clock() - proof.timestamp) > WINDOW_SECONDS:
            raise NotProved("CLOCK_OFF", proof.access_key)
        tenants = key.role is not Role.OPERATOR
        if tenants and not self._issued.take(key.account):
            raise _too_many()
        if not await self._nonces.take(proof.access_key, proof.nonce, OPERATORS_NONCES if tenants else 0):
            raise NotProved("NONCE_TAKEN", proof.access_key)
        return self.issuer.issue(key.id, key.account, key.project, key.role, key.generation)

    async def recall(self) -> None:
        """After a start: tokens that were ended a moment before it stay ended."""
        await self._nonces.recall()
        since = int((self._clock() - REMEMBERED_SECONDS) * SECOND)
        for ended in await self._resources.read(lambda now: _ended(now, since)):
            self.ended.end(ended)


def _too_many() -> QuotaReached:
    return QuotaReached("TOO_MANY_TOKENS", "more tokens are asked for than can be given: use each for longer")


def _ended(now: Snapshot, since: int) -> Sequence[Ended]:
    keys = (key_of(event.access_key) for event in now.all(ACCESS_KEY, states=()))
    found = []
    for key in keys:
        if key.revoked_at >= since:
            found.append(Ended(key.id, EVERY, key.revoked_at))
        elif key.rotated_at >= since:
            found.append(Ended(key.id, key.generation, key.rotated_at))
    return found
