"""What the endpoint service knows of tokens: the registry's keys, asked for when one is new, and what has ended."""

import asyncio
import time
from collections.abc import Mapping
from typing import Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.common.errors import Refused
from services.common.identity.ended import EVERY, Ended, EndedTokens
from services.common.identity.tokens import from_pem
from sidegate.api.events.v1.registry_events_pb2 import RegistryEvent
from sidegate.api.registry.v1.registry_internal_service_pb2 import GetTokenTrustResponse

PAUSE_SECONDS = 2.0
"""How often the registry is asked for a key that it does not have, at most."""

log = structlog.get_logger(__name__)


class Registry(Protocol):
    """What is asked of the registry."""

    async def trust(self) -> GetTokenTrustResponse: ...


class TokenTrust:
    """The keys that the registry signs with, by their names in tokens."""

    def __init__(self, registry: Registry) -> None:
        self.issuer, self.ended = "", EndedTokens()
        self._registry, self._turn = registry, asyncio.Lock()
        self._keys: Mapping[str, Ed25519PublicKey] = {}
        self._asked_at = 0.0

    async def key(self, kid: str) -> Ed25519PublicKey | None:
        """Raises Unavailable where none is known and the registry is away."""
        if kid not in self._keys:
            async with self._turn:
                if kid not in self._keys and (not self._keys or time.monotonic() > self._asked_at + PAUSE_SECONDS):
                    self._asked_at = time.monotonic()
                    await self.refresh()
        return self._keys.get(kid)

    async def refresh(self) -> None:
        """Asks the registry for all of it. Raises Refused where it is away."""
        told = await self._registry.trust()
        self._keys = {key.id: from_pem(key.public_key) for key in told.keys}
        self.issuer = told.issuer
        for each in told.ended:
            self.ended.end(Ended(each.access_key, each.before_generation, each.at))

    async def learn(self) -> None:
        """Refreshes; where the registry is away, what was known stays."""
        try:
            await self.refresh()
        except Refused as error:
            log.warning("the registry does not say which tokens are valid", why=str(error))

    def hear(self, event: RegistryEvent, at: int) -> None:
        """An event of the registry's: tokens end within the moment that it takes to get here."""
        match event.WhichOneof("fact"):
            case "access_key_revoked":
                self.ended.end(Ended(event.access_key.id, EVERY, at))
            case "access_key_rotated":
                self.ended.end(Ended(event.access_key.id, event.access_key.generation, at))
            case _:
                pass
