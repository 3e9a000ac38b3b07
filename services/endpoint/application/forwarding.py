"""What each cell's gateways are told of services and VPCs, kept as the registry has them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from itertools import islice

from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import Conflict
from services.endpoint.application.registry import PublishedService, Registry, Reservation
from services.endpoint.application.registry import Sources as RegistrySources
from services.endpoint.application.resolvers import Resolvers
from services.endpoint.application.routes import Routes
from services.endpoint.application.rows import Rows
from services.endpoint.application.streams import Streams, no_answer, on_our_own
from services.endpoint.domain.endpoint_commands import EndConnection, WithdrawService
from services.endpoint.domain.facts import Facts
from services.endpoint.domain.forwarding import (
    UNKNOWN_LOG,
    ForwardService,
    ReachVpc,
    RegistryLog,
    RemoveService,
    ServiceCommand,
)
from services.endpoint.domain.targets import Target
from services.endpoint.projections import (
    ATTACHMENT,
    CONNECTED,
    DELETING,
    ENDPOINT,
    LIVE,
    SERVICE,
    services_in_use,
    vpcs_in_use,
)
from services.endpoint.wire.endpoint import state_of
from services.endpoint.wire.stored import attachment_stream, endpoint_stream, service_stream

BATCH = 500
"""Services or VPCs in one question to the registry."""


class Forwarding:
    """Appends what gateways need: of a service once per cell that uses it, of a VPC once per cell that reaches it,
    and again at every change."""

    def __init__(
        self,
        store: SqlStore,
        streams: Streams,
        rows: Rows,
        registry: Registry,
        *,
        resolvers: Resolvers,
        routes: Routes,
        clock: Callable[[], int],
    ) -> None:
        self.routes = routes
        self._store = store
        self._streams = streams
        self._rows = rows
        self._registry = registry
        self._resolvers = resolvers
        self._clock = clock

    async def prepare(self, cell: str, reservation: Reservation) -> None:
        """Tells the cell of both VPCs and of the service, before it hears of an endpoint that needs them.

        What it has been told before is left alone: it may be newer than the reservation.
        """
        service = reservation.service
        vpcs = {reservation.vpc: reservation.consumer[cell], service.vpc: reservation.provider[cell]}
        told = await self._rows.told(cell, [*vpcs, service.id])
        for vpc, target in vpcs.items():
            if vpc not in told:
                await self._reach(cell, vpc, target, expected_version=0)
        if service.id not in told:
            await self._forward(cell, service.id, ForwardService(service.in_cell(cell)))

    async def service_changed(self, service: PublishedService) -> None:
        """Tells each cell that uses the service."""
        command = [
            self._forward(cell, service.id, ForwardService(service.in_cell(cell)))
            for cell in await self._cells(SERVICE, service.id)
        ]
        await asyncio.gather(*command)
        await self.routes.of_service(service)

    async def permissions_removed(self, service: PublishedService) -> None:
        """Ends the connections that the owner wanted to end with a permission; again, or late, changes nothing."""
        if not service.ended:
            return
        async for rows in self._rows.batches(ENDPOINT, parent=service.id, states=CONNECTED):
            await asyncio.gather(*(self._end(state_of(row.data).facts, service) for row in rows))

    async def service_gone(self, service: str, log: RegistryLog = UNKNOWN_LOG) -> None:
        """Fails the service's endpoints, then tells each cell. In this order: a service that is still forwarded is
        asked for again at every start, so nothing is left half done."""
        async for rows in self._rows.batches(ENDPOINT, parent=service, states=(*LIVE, DELETING)):
            await asyncio.gather(*(self._withdraw(row.id) for row in rows))
        for cell in await self._cells(SERVICE, service):
            await self._forward(cell, service, RemoveService(log))

    async def refresh(self, services: Collection[str] = (), vpcs: Collection[str] = ()) -> None:
        """Asks the registry how things are, and tells each cell what is news to it: of services that it uses, and of
        VPCs that are attached there, with their resolvers and the routes in them."""
        await self._refresh(services, vpcs)
        await self.routes.of_vpcs(vpcs)

    async def resync(self) -> None:
        """Refreshes all that cells have or should have."""
        vpcs = {*await self._store.query(vpcs_in_use), *await self._registry.attached()}
        await self._refresh(await self._store.query(services_in_use), vpcs)
        await self.routes.resync()

    async def _refresh(self, services: Collection[str], vpcs: Collection[str]) -> None:
        for some in _batches(services):
            await self._renew_services(some, await self._registry.sources(some, ()))
        for some in _batches(vpcs):
            await self._refresh_attachments(some)

    async def _refresh_attachments(self, vpcs: Collection[str]) -> None:
        places = {(cell, vpc) for vpc in vpcs for cell in await self._cells(ATTACHMENT, vpc)}
        while vpcs:
            # The versions are read before the registry is: an older answer can then not come after a newer one.
            versions = await self._attachment_versions(place for place in places if place[1] in vpcs)
            resolving = await self._resolvers.versions(versions.keys())
            sources = await self._registry.sources((), vpcs)
            attached = {(cell, vpc) for vpc, cell in sources.targets}
            # Attachments first: who asks a resolver is reached by one.
            overtaken = await self._renew_attachments(versions, sources)
            overtaken |= await self._resolvers.renew(resolving, sources)
            vpcs = overtaken | {vpc for _, vpc in attached - places}
            places |= attached

    async def _renew_services(self, services: Collection[str], sources: RegistrySources) -> None:
        for id_ in services:
            service = sources.services.get(id_)
            if service is None or service.gone:
                await self.service_gone(id_, sources.log)
            else:
                await self.service_changed(service)
                await self.permissions_removed(service)

    async def _renew_attachments(
        self, versions: dict[tuple[str, str], int], sources: RegistrySources
    ) -> frozenset[str]:
        """Gives the VPCs of which a cell was told something else in the meantime."""
        overtaken = set()
        for (cell, vpc), version in versions.items():
            if not await self._reach(cell, vpc, sources.targets.get((vpc, cell)), version):
                overtaken.add(vpc)
        return frozenset(overtaken)

    async def _attachment_versions(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        versions = {}
        for cell, vpc in places:
            _, versions[cell, vpc] = await self._streams.attachments.load(attachment_stream(cell, vpc))
        return versions

    async def _reach(self, cell: str, vpc: str, target: Target | None, expected_version: int) -> bool:
        context = on_our_own("FollowRegistry", self._clock(), expected_version)
        command = ReachVpc(cell, vpc, target)
        try:
            await self._streams.attachments.execute(attachment_stream(cell, vpc), command, context, no_answer)
        except Conflict:
            return False
        return True

    def _forward(self, cell: str, service: str, command: ServiceCommand) -> Awaitable[object]:
        context = on_our_own("FollowRegistry", self._clock())
        return self._streams.services.execute(service_stream(cell, service), command, context, no_answer)

    def _withdraw(self, endpoint: str) -> Awaitable[object]:
        command = WithdrawService(self._clock())
        context = on_our_own("WithdrawService", command.at)
        return self._streams.endpoints.execute(endpoint_stream(endpoint), command, context, no_answer)

    async def _end(self, facts: Facts, service: PublishedService) -> None:
        if removal := service.ended_for(facts.owner.account):
            command = EndConnection(self._clock(), removal.at, removal.version)
            context = on_our_own("EndConnection", command.at)
            await self._streams.endpoints.execute(endpoint_stream(facts.id), command, context, no_answer)

    async def _cells(self, kind: str, id_: str) -> list[str]:
        return [row.partition async for rows in self._rows.batches(kind, parent=id_) for row in rows]


def _batches(ids: Collection[str]) -> Iterator[list[str]]:
    """As many as fit in one question."""
    rest = iter(ids)
    while some := list(islice(rest, BATCH)):
        yield some
