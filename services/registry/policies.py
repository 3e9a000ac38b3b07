"""What follows from the endpoint service's events, from time, and from what was left to be done."""

import asyncio
from contextlib import aclosing

import structlog

from services.common.clock import SECOND, Clock
from services.common.errors import Refused
from services.common.eventsourcing.store import EventStore, Head, RecordedEvent, StoreError
from services.common.rpc.following import Follow
from services.common.rpc.records import traceparent_of
from services.common.telemetry.tracing import span
from services.registry.application.deletions import Deletions
from services.registry.application.reservations import Reservations
from services.registry.application.streams import on_our_own
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent

ENDPOINT_DELETED = "endpoint.v1.Deleted"
RETRY_SECONDS = 1.0
KEPT_EVERY = 100
"""Events from one checkpoint to the next: each is a commit, and what is heard again changes nothing."""

UPKEEP_SECONDS = 5.0
DOUBT_AFTER = 600 * SECOND
"""How long it is relied upon that every deletion was heard of."""

log = structlog.get_logger(__name__)


class EndpointPolicy:
    """Follows the endpoint service's log: the address of a deleted endpoint is free again.

    A position means something in one log and one epoch of it. In a log that was restored everything is heard anew:
    it may have forgotten deletions, made others at positions that were heard before, and again changes nothing.
    """

    def __init__(self, store: EventStore, reservations: Reservations, clock: Clock) -> None:
        self._store, self._reservations, self._clock = store, reservations, clock

    async def run(self, endpoint_log: Follow) -> None:
        """Follows for ever; where it is interrupted, it goes on from its checkpoint."""
        while True:
            try:
                await self._follow(endpoint_log)
            except (Refused, StoreError, OSError) as error:
                log.warning("the endpoint service cannot be followed, trying again", why=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, endpoint_log: Follow) -> None:
        head = await endpoint_log.head()
        heard = await self._store.checkpoint(checkpoint_of(head))
        if heard > head.position:
            heard = 0  # restored, and nobody has noticed yet
        since = Head(head.log_id, head.epoch, heard, hash=b"")
        kept = heard
        try:
            async with aclosing(endpoint_log.events(since)) as events:
                async for event in events:
                    await self.hear(event)
                    heard = event.position
                    if heard >= kept + KEPT_EVERY:
                        await self._store.save_checkpoint(checkpoint_of(head), heard)
                        kept = heard
        except Exception:
            if heard > kept:
                await self._store.save_checkpoint(checkpoint_of(head), heard)
            raise

    async def hear(self, event: RecordedEvent) -> None:
        """Draws the consequences of one event; again, or late, changes nothing."""
        if event.type != ENDPOINT_DELETED:
            return
        deleted = EndpointEvent.FromString(event.data).endpoint
        with span(f"hear {event.type}", traceparent_of(event)):
            await self._reservations.release(deleted.id, on_our_own("ReleaseDeletedEndpoint", self._clock()))


def checkpoint_of(head: Head) -> str:
    """The name under which it is kept how far the endpoint service's log was heard."""
    return f"endpoint/{head.log_id}/{head.epoch}"


class Upkeep:
    """At start and every few seconds: goes on with deletions, frees addresses of endpoints that never came to be."""

    def __init__(self, deletions: Deletions, reservations: Reservations, clock: Clock) -> None:
        self._deletions, self._reservations, self._clock = deletions, reservations, clock
        self._doubted_at = clock()

    async def run(self) -> None:
        while True:
            try:
                await self.once()
            except (Refused, StoreError) as error:
                log.warning("upkeep is interrupted, trying again", why=str(error))
            await asyncio.sleep(UPKEEP_SECONDS)

    async def once(self) -> None:
        await self._deletions.resume(self._clock())
        if self._clock() >= self._doubted_at + DOUBT_AFTER:
            self._doubted_at = self._clock()
            self._reservations.doubt()
        await self._reservations.release_unknown(self._clock())
