"""What follows from the registry's events, from time, and from what was left to be done."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import structlog

from services.common.errors import Refused
from services.common.eventsourcing.store import EventStore, RecordedEvent, StoreError
from services.endpoint.application.agenda import Agenda
from services.endpoint.application.cells import Cells
from services.endpoint.application.forwarding import Forwarding
from services.endpoint.application.sources import Sources
from services.endpoint.registry_client import service_of
from sidegate.api.events.v1 import registry_events_pb2 as registry_pb

REGISTRY_CHECKPOINT = "registry"
RETRY_SECONDS = 1.0
TICK_SECONDS = 1.0

log = structlog.get_logger(__name__)


class RegistryPolicy:
    """Follows the registry's log: what it says of services and attachments in use, cells are told."""

    def __init__(self, store: EventStore, forwarding: Forwarding) -> None:
        self._store = store
        self._forwarding = forwarding

    async def run(self, subscribe: Callable[[int], AsyncIterator[RecordedEvent]]) -> None:
        """Asks how everything in use is, then hears what changes. `subscribe` gives the events above a position."""
        while True:
            try:
                await self._follow(subscribe)
            except (Refused, StoreError, OSError) as error:
                log.warning("the registry cannot be followed, trying again", why=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, subscribe: Callable[[int], AsyncIterator[RecordedEvent]]) -> None:
        after = await self._store.checkpoint(REGISTRY_CHECKPOINT)
        await self._forwarding.resync()
        async for event in subscribe(after):
            await self.hear(event)
            await self._store.save_checkpoint(REGISTRY_CHECKPOINT, event.position)

    async def hear(self, event: RecordedEvent) -> None:
        """Draws the consequences of one event; again, or late, changes nothing."""
        heard = registry_pb.RegistryEvent.FromString(event.data)
        match heard.WhichOneof("fact"):
            case "service_changed":
                await self._forwarding.service_changed(service_of(heard.service))
            case "service_deletion_started" | "service_deleted":
                await self._forwarding.service_gone(heard.service.id)
            case "attachment_created" | "attachment_deleted":
                await self._forwarding.refresh(vpcs=[heard.attachment.vpc_id])
            case _:
                pass


class Upkeep:
    """Runs errands when there are any, and looks at the clock every second."""

    def __init__(self, agenda: Agenda, cells: Cells, forwarding: Forwarding, sources: Sources) -> None:
        self._agenda = agenda
        self._cells = cells
        self._forwarding = forwarding
        self._sources = sources

    async def run(self) -> None:
        while True:
            try:
                await self.errands()
                await self._cells.tick()
            except (Refused, StoreError) as error:
                log.warning("upkeep is interrupted, trying again", why=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._agenda.wait(), TICK_SECONDS)

    async def errands(self) -> None:
        """Does what is on the agenda, or leaves it there."""
        errands = self._agenda.take()
        try:
            for cell, gateway in errands.newcomers:
                await self._sources.lease_all(cell, gateway)
            await self._forwarding.refresh(errands.services, errands.vpcs)
        except BaseException:
            self._agenda.put_back(errands)
            raise
