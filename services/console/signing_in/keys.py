"""Proving who somebody is by an access key: the registry says so, and is not asked too often."""

from dataclasses import dataclass

from services.common.identity.attempts import Buckets
from services.console.numbers import SIGN_INS
from services.console.sessions.session import Session
from services.console.sessions.store import Sessions
from sidegate import errors
from sidegate.client import Client
from sidegate.credentials import Credential

TIMEOUT_SECONDS = 10.0


class TooMany(Exception):
    """Attempts in vain; some seconds later one more is looked at."""


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
    """Makes sessions."""

    def __init__(self, places: Places, sessions: Sessions, attempts: Attempts) -> None:
        self._places, self._sessions = places, sessions
        self._of_key = Buckets(attempts.of_key, 60 / attempts.of_key)
        self._of_address = Buckets(attempts.of_address, 60 / attempts.of_address)

    async def enter(self, access_key: str, secret: str, peer: str) -> tuple[Session, str]:
        """A session, and its cookie. Raises TooMany, and Unauthenticated and others of SidegateError."""
        if self._of_address.empty(peer) or self._of_key.empty(f"{peer}/{access_key}"):
            SIGN_INS.labels("limited").inc()
            raise TooMany
        try:
            return await self.admit(Credential("", "", access_key, secret))
        except errors.Unauthenticated:
            self._of_address.take(peer)
            self._of_key.take(f"{peer}/{access_key}")
            raise

    async def admit(self, credential: Credential) -> tuple[Session, str]:
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
        session = Session(identity, credential.access_key, client, now, now)
        return session, self._sessions.keep(session)
