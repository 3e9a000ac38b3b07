"""What follows from the registry's events, from time, and from what was left to be done."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import structlog

from services.common.errors import Refused
from services.common.eventsourcing.store import RecordedEvent, StoreError
from services.common.rpc.following import Follow
from services.common.rpc.records import traceparent_of
from services.common.telemetry.tracing import span
from services.endpoint.application.agenda import Agenda
from services.endpoint.application.cells import Cells
from services.endpoint.application.expiries import Expiries
from services.endpoint.application.forwarding import Forwarding
from services.endpoint.application.growth import Growth
from services.endpoint.application.sources import Sources
from services.endpoint.domain.forwarding import UNKNOWN_LOG, RegistryLog
from services.endpoint.registry_client import service_of
from services.endpoint.token_trust import TokenTrust
from sidegate.api.events.v1 import registry_events_pb2 as registry_pb

RETRY_SECONDS = 1.0
TICK_SECONDS = 1.0

log = structlog.get_logger(__name__)


class RegistryPolicy:
    """Follows the registry's log: what it says of services in use and of attachments, cells are told.

    Of access keys it hears whose tokens end.

    It keeps no position: at each start it asks how everything is, and hears what comes after. So it does not
    matter what it has missed, nor whether the registry's log is the one of before.
    """

    def __init__(self, forwarding: Forwarding, trust: TokenTrust) -> None:
        self._forwarding, self._trust = forwarding, trust

    async def run(self, follow: Follow, pause: float = RETRY_SECONDS) -> None:
        """Follows for ever; where it is interrupted, it starts again."""
        while True:
            try:
                await self._follow(follow)
            except (Refused, StoreError) as error:
                log.warning("the registry cannot be followed, trying again", why=str(error))
            await asyncio.sleep(pause)

    async def _follow(self, follow: Follow) -> None:
        since = await follow.head()  # before it is asked: what it answers then is at least as new
        await self._trust.learn()
        await self._forwarding.resync()
        async with aclosing(follow.events(since)) as events:
            async for event in events:
                with span(f"hear {event.type}", traceparent_of(event)):
                    await self.hear(event, RegistryLog(since.log_id, since.epoch))

    async def hear(self, event: RecordedEvent, log: RegistryLog = UNKNOWN_LOG) -> None:
        """Draws the consequences of one event; again, or late, changes nothing."""
        heard = registry_pb.RegistryEvent.FromString(event.data)
        self._trust.hear(heard, event.recorded_at)
        match heard.WhichOneof("fact"):
            case "service_changed":
                await self._forwarding.service_changed(service_of(heard.service, log))
            case "permissions_removed":
                await self._forwarding.permissions_removed(service_of(heard.service))
            case "service_deletion_started" | "service_deleted":
                await self._forwarding.service_gone(heard.service.id, log)
            case "attachment_created" | "attachment_deleted":
                await self._forwarding.refresh(vpcs=[heard.attachment.vpc_id])
            case "resolver_set" | "resolver_deleted":
                await self._forwarding.refresh(vpcs=[heard.vpc.id])
            case "subnet_created" | "subnet_deleted":
                await self._forwarding.routes.of_vpcs([heard.subnet.vpc_id])
            case "route_table_created" | "route_table_changed" | "route_table_deleted":
                await self._forwarding.routes.of_vpcs([heard.route_table.vpc_id])
            case _:
                pass


class Upkeep:
    """Runs errands as soon as there are any, and looks at the clock every second."""

    def __init__(
        self,
        *,
        agenda: Agenda,
        cells: Cells,
        forwarding: Forwarding,
        sources: Sources,
        growth: Growth,
        expiries: Expiries,
    ) -> None:
        self._agenda = agenda
        self._cells = cells
        self._forwarding = forwarding
        self._sources = sources
        self._growth = growth
        self._expiries = expiries

    async def run(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(_again(self._next_errands))
            both.create_task(_again(self._next_tick))

    async def errands(self) -> None:
        """Does what is on the agenda, or leaves it there."""
        errands = self._agenda.take()
        try:
            for cell, gateway in errands.newcomers:
                await self._sources.lease_all(cell, gateway)
            await self._growth.grow(errands.growing)
            await self._forwarding.refresh(errands.services, errands.vpcs)
        except BaseException:
            self._agenda.put_back(errands)
            raise

    async def _next_errands(self) -> None:
        await self._agenda.wait()
        await self.errands()

    async def _next_tick(self) -> None:
        await self._cells.tick()
        await self._growth.tick()
        await self._expiries.tick()
        await asyncio.sleep(TICK_SECONDS)


async def _again(step: Callable[[], Awaitable[None]]) -> None:
    """One step after another, for ever; after one that could not be made, a pause."""
    while True:
        try:
            await step()
        except (Refused, StoreError) as error:
            log.warning("upkeep is interrupted, trying again", why=str(error))
            await asyncio.sleep(RETRY_SECONDS)
