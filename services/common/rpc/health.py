"""Health that is true: what a program says of itself follows what it can do, within a second or two."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from services.common.eventsourcing.store import StoreError

EVERY_SECONDS = 1.0
PROOF_SECONDS = 5.0
"""How long a store that nothing was written to is believed to be writable."""

PATIENCE_SECONDS = 2.0
"""A proof that takes longer has failed, as far as those are concerned who wait for an answer."""

Difficulty = Callable[[], Awaitable[str]]
"""Asks one part of the program what hinders it from serving; empty where nothing does."""

log = structlog.get_logger(__name__)


class WritableStore(Protocol):
    """What is asked of a store."""

    @property
    def failing(self) -> bool: ...
    @property
    def position(self) -> int: ...
    async def prove_writable(self) -> None: ...


class Listener(Protocol):
    """Whoever is told, such as a server."""

    async def tell_health(self, *, serving: bool) -> None: ...


class StoreHealth:
    """Whether commands can be written: the last ones could, or a proof of it."""

    def __init__(self, store: WritableStore, proof_every: float = PROOF_SECONDS) -> None:
        self._store, self._every = store, proof_every
        self._proof: asyncio.Task[None] | None = None
        self._proved_at = 0.0
        self._position = store.position
        self._difficulty = "the store has not been written to yet"

    async def difficulty(self) -> str:
        now = asyncio.get_running_loop().time()
        if self._store.position != self._position and not self._store.failing:
            self._position, self._difficulty, self._proved_at = self._store.position, "", now
        elif self._difficulty or self._store.failing or now - self._proved_at >= self._every:
            self._difficulty = await self._prove()
            self._proved_at = now
        return self._difficulty

    async def close(self) -> None:
        """Waits for no proof any more."""
        if self._proof is not None:
            self._proof.cancel()
            await asyncio.wait([self._proof])

    async def _prove(self) -> str:
        # One at a time: a database that hangs must not be asked ever more.
        if self._proof is None or self._proof.done():
            self._proof = asyncio.ensure_future(self._store.prove_writable())
        done, _ = await asyncio.wait([self._proof], timeout=PATIENCE_SECONDS)
        if not done:
            return "the database does not answer"
        error = self._proof.exception()
        if error is not None and not isinstance(error, StoreError):
            raise error
        return f"the database cannot be written to: {error}" if error else ""


class Health:
    """Asks every part again and again, and tells the server's health service what came of it."""

    def __init__(self, server: Listener, parts: Sequence[Difficulty]) -> None:
        self._server, self._parts = server, parts
        self._said: Sequence[str] | None = None

    @property
    def difficulties(self) -> Sequence[str]:
        """What hinders the program from serving, as it was last found."""
        return ["it is starting"] if self._said is None else self._said

    async def look(self) -> None:
        found = [difficulty for part in self._parts if (difficulty := await part())]
        if found == self._said:
            return
        if found:
            say = log.info if self._said is None else log.warning
            say("not serving", why=found)
        else:
            log.info("serving")
        self._said = found
        await self._server.tell_health(serving=not found)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_SECONDS)
