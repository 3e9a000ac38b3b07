"""What follows from the endpoint service's events, from time, and from what was left to be done."""

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog

from services.common.clock import SECOND, Clock
from services.common.errors import Refused
from services.common.eventsourcing.store import EventStore, RecordedEvent, StoreError
from services.registry.application.deletions import Deletions
from services.registry.application.reservations import Reservations
from services.registry.application.streams import on_our_own
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent

ENDPOINT_CHECKPOINT = "endpoint"
ENDPOINT_DELETED = "endpoint.v1.Deleted"
RETRY_SECONDS = 1.0
UPKEEP_SECONDS = 5.0
DOUBT_AFTER = 600 * SECOND
"""How long it is relied upon that every deletion was heard of."""

log = structlog.get_logger(__name__)


class EndpointPolicy:
    """Follows the endpoint service's log: the address of a deleted endpoint is free again."""

    def __init__(self, store: EventStore, reservations: Reservations, clock: Clock) -> None:
        self._store, self._reservations, self._clock = store, reservations, clock

    async def run(self, subscribe: Callable[[int], AsyncIterator[RecordedEvent]]) -> None:
        """`subscribe` gives the events above a position."""
        while True:
            try:
                async for event in subscribe(await self._store.checkpoint(ENDPOINT_CHECKPOINT)):
                    await self.hear(event)
                    await self._store.save_checkpoint(ENDPOINT_CHECKPOINT, event.position)
            except (Refused, StoreError, OSError) as error:
                log.warning("the endpoint service cannot be followed, trying again", why=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def hear(self, event: RecordedEvent) -> None:
        """Draws the consequences of one event; again, or late, changes nothing."""
        if event.type == ENDPOINT_DELETED:
            deleted = EndpointEvent.FromString(event.data).endpoint
            await self._reservations.release(deleted.id, on_our_own("ReleaseDeletedEndpoint", self._clock()))


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
