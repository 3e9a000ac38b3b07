"""Signs the head of a log after so many events, or after so long, and hands it to those who keep it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from services.common.clock import Clock
from services.common.eventsourcing.store import EventStore, Head, Unavailable
from services.common.evidence.archive import Archive
from sidegate.evidence import Link
from sidegate.signed_heads import PublicKey, SignedHead, SigningKey

log = structlog.get_logger(__name__)

Witness = Callable[[SignedHead], Awaitable[None]]
"""Keeps a copy of a head elsewhere. Whatever it raises is logged: the next head proves all that this one does."""

RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Occasion:
    """When a head is signed: `events` after the last one, or `seconds` after an event that no head covers."""

    events: int = 1000
    seconds: float = 60.0


class Notary:
    """Has the log `name` sign its head on every occasion. The archive is written before any witness is told."""

    def __init__(
        self, store: EventStore, name: str, archive: Archive, key: SigningKey, *, clock: Clock, occasion: Occasion
    ) -> None:
        self._store, self._name, self._archive, self._key = store, name, archive, key
        self._clock, self._occasion = clock, occasion

    @property
    def public_key(self) -> PublicKey:
        return self._key.public

    async def run(self, witnesses: Sequence[Witness] = ()) -> None:
        """Until cancelled. A log that is away is waited for."""
        while True:
            try:
                position = await self._begin()
                while True:
                    await self._wait(position)
                    signed = self.sign(await self._store.head())
                    await asyncio.to_thread(self._archive.add, signed)
                    await _tell(witnesses, signed)
                    position = signed.position
            except (Unavailable, OSError) as error:
                log.warning("the log's head cannot be signed", log=self._name, error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    def sign(self, head: Head) -> SignedHead:
        link = Link(head.position, head.hash)
        return self._key.sign(self._name, head.log_id, head.epoch, link, self._clock())

    async def _begin(self) -> int:
        """The position of the last head that was signed, once the log was held against it.

        A log that was restored goes on in another epoch than that head's. Relays see to it where NATS still knows what
        was published; this sees it too where NATS has lost everything.
        """
        last = self._archive.last()
        if last is None:
            return 0
        head, found = await self._store.head(), await self._store.read(last.position - 1, 1)
        if head.log_id == last.log_id and found and found[0].hash == last.link.hash:
            return last.position
        log.error(
            "the log does not lead to the last head that was signed: it was restored to an earlier state, or altered",
            log=self._name,
            position=last.position,
            heads=str(self._archive.heads),
        )
        while head.log_id == last.log_id and head.epoch <= last.epoch:
            head = await self._store.begin_epoch(head.epoch)
        return 0

    async def _wait(self, position: int) -> None:
        await self._store.wait_beyond(position)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._occasion.seconds):
                await self._store.wait_beyond(position + self._occasion.events - 1)


async def _tell(witnesses: Sequence[Witness], signed: SignedHead) -> None:
    for witness in witnesses:
        try:
            await witness(signed)
        except Exception as error:
            log.warning("a witness did not take the signed head", log=signed.log, error=str(error))
