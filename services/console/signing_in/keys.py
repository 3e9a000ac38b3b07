"""Proving who somebody is by an access key: the registry says so, and is not asked too often."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.common.identity.attempts import Buckets
from services.console.numbers import SIGN_INS
from services.console.sessions.session import Session
from services.console.sessions.store import Sessions
from sidegate import errors
from sidegate.client import Client
from sidegate.credentials import Credential

TIMEOUT_SECONDS = 10.0
LONGEST_KEY = 64
"""The registry takes no longer one, and refuses it for that: what counts attempts in vain would not count it."""


class TooMany(Exception):
    """Attempts in vain; some seconds later one more is looked at."""


class InVain(Exception):
    """Somebody tried to come in as whom he is not."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """In vain, in a minute: with one access key from one address, and from one address with all keys."""

    of_key: int = 5
    of_address: int = 20


@dataclass(frozen=True, slots=True)
class Places:
    """Where the services are, at "host:port", and what their certificates are verified with (PEM)."""

    registry: str
    endpoint: str
    gateway: str
    trust: bytes


class Door:
    """Makes sessions. An attempt that nobody has answered yet counts as one in vain: many at once are no way around."""

    def __init__(self, places: Places, sessions: Sessions, attempts: Attempts) -> None:
        self._places, self._sessions = places, sessions
        self._of_key = Buckets(attempts.of_key, 60 / attempts.of_key)
        self._of_address = Buckets(attempts.of_address, 60 / attempts.of_address)
        self._open, self._answered = Counter[str](), asyncio.Condition()

    async def enter(self, access_key: str, secret: str, peer: str) -> tuple[Session, str]:
        """A session, and its cookie. Raises TooMany, and Unauthenticated and others of SidegateError."""
        if len(access_key) > LONGEST_KEY:
            raise errors.InvalidRequest("an access key has up to 64 characters", field="access_key")
        async with self.attempt(peer, access_key):
            return await self.admit(Credential("", "", access_key, secret))

    @asynccontextmanager
    async def attempt(self, peer: str, access_key: str = "") -> AsyncIterator[None]:
        """Of an address, and with a key. It was in vain if it ends by InVain or Unauthenticated. Raises TooMany."""
        taken = [(self._of_address, peer)] + [(self._of_key, f"{peer}/{access_key}")] * bool(access_key)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self._answered:
                await self._answered.wait_for(lambda: self._may_try(taken))
        except TimeoutError:
            SIGN_INS.labels("limited").inc()
            raise TooMany from None
        if any(bucket.empty(name) for bucket, name in taken):
            SIGN_INS.labels("limited").inc()
            raise TooMany
        self._open.update(name for _, name in taken)
        in_vain = False
        try:
            yield
        except (errors.Unauthenticated, InVain):
            in_vain = True
            raise
        finally:
            self._open.subtract(name for _, name in taken)
            self._open += Counter()
            for bucket, name in taken * in_vain:
                bucket.take(name)
            async with self._answered:
                self._answered.notify_all()

    def _may_try(self, taken: list[tuple[Buckets, str]]) -> bool:
        """Whether it is decided already, or there is one left beside those that are open."""
        if any(bucket.empty(name) for bucket, name in taken):
            return True
        return all(bucket.left(name) - self._open[name] >= 1 for bucket, name in taken)

    async def admit(self, credential: Credential, person: str = "") -> tuple[Session, str]:
        """The same for a credential that needs no counting. Raises SidegateError."""
        places = self._places
        client = Client(
            places.registry,
            places.endpoint,
            places.gateway,
            credential=credential,
            ca=places.trust,
            timeout=TIMEOUT_SECONDS,
        )
        try:
            identity = await client.accounts.who_am_i()
        except BaseException as error:
            SIGN_INS.labels("refused" if isinstance(error, errors.Unauthenticated) else "failed").inc()
            await client.close()
            raise
        SIGN_INS.labels("in").inc()
        now = self._sessions.now()
        session = Session(identity, credential.access_key, client, now, now, person=person)
        return session, self._sessions.keep(session)
