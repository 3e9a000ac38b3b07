"""Endpoints for those who own them, and for the registry."""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import replace

from services.common.errors import NotFound
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.selection import ALL, Found, Scope, Selection, Window
from services.common.eventsourcing.store import AlreadyClaimed
from services.common.principal import Principal
from services.common.watching.beginning import Place
from services.common.watching.sight import Watch
from services.common.watching.watcher import Told
from services.common.watching.watching import Watching
from services.endpoint.application.agenda import Agenda
from services.endpoint.application.cells import Cells
from services.endpoint.application.expiries import Expiries
from services.endpoint.application.names import Names
from services.endpoint.application.routes import Routes
from services.endpoint.application.rows import Rows
from services.endpoint.application.streams import Streams
from services.endpoint.domain.endpoint import Absent, State
from services.endpoint.domain.endpoint_commands import Change, Delete
from services.endpoint.projections import ACCEPTED, CREATING, DRAINABLE, ENDPOINT
from services.endpoint.wire.endpoint import state_of
from services.endpoint.wire.sights import Change as Seen
from services.endpoint.wire.stored import endpoint_stream
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb

MOST_BLOCKERS = 1000
BLOCKING = Selection((CREATING, ACCEPTED))


class Endpoints:
    def __init__(
        self,
        streams: Streams,
        rows: Rows,
        cells: Cells,
        expiries: Expiries,
        *,
        watching: Watching[Seen],
        names: Names,
        routes: Routes,
        agenda: Agenda,
    ) -> None:
        self._names, self._routes, self._agenda = names, routes, agenda
        self._streams = streams
        self._rows = rows
        self._cells = cells
        self._expiries = expiries
        self._watching = watching

    async def get(self, endpoint: str, by: Principal) -> endpoint_pb.Endpoint:
        row = (await self._rows.endpoints([endpoint])).get(endpoint)
        if row is None or row.project != str(by):
            raise NotFound("endpoint", endpoint)
        return self._cells.show_row(row)

    async def listed(
        self, by: Principal, window: Window, selection: Selection = ALL, service: str = ""
    ) -> Found[endpoint_pb.Endpoint]:
        """A part of the list of the project's endpoints, or of those of one service."""
        scope = Scope(project=str(by), parent=service or None)
        found = await self._rows.listed(ENDPOINT, window, scope, selection)
        return Found([(place, self._cells.show_row(row)) for place, row in found.rows], found.total)

    async def tags(self, by: Principal, after: tuple[str, str], limit: int) -> Sequence[tuple[str, str]]:
        """Keys and values of the tags of the project's endpoints behind one of them, in order, each once."""
        return await self._rows.tags(ENDPOINT, str(by), after, limit)

    def watch(self, watch: Watch, place: Place) -> AsyncGenerator[Told[Seen], None]:
        """What happens to what is watched, as it happens."""
        return self._watching.watch(watch, place)

    async def change(self, command: Change, context: CommandContext) -> endpoint_pb.Endpoint:
        """DNS that is turned on brings the names of the moment; what routes follow is looked at again afterwards.

        Raises AlreadyExists where another endpoint has a name or a route table.
        """
        if command.dns is not None:
            command = replace(command, dns_names=await self._names_of(command))
        try:
            async with self._routes.changing(command, context) as change:
                answer = await self._execute(change, context)
        except AlreadyClaimed as clash:
            await self._names.explain(clash)
            raise
        if change.routes is not None and not context.validate_only:
            self._agenda.recheck(service=answer.service, vpcs=(answer.vpc_id,))
        return answer

    async def _names_of(self, command: Change) -> tuple[str, ...]:
        row = (await self._rows.endpoints([command.endpoint])).get(command.endpoint)
        if not command.dns or row is None or row.project != str(command.by):
            return ()
        return await self._names.of_now(command.endpoint, row.parent)

    async def delete(self, command: Delete, context: CommandContext) -> endpoint_pb.Endpoint:
        """Where no gateway has anything of it, it is gone at once, whatever it was to drain."""
        answer = await self._execute(command, context)
        if context.validate_only:
            return answer
        state, _ = await self._streams.endpoints.load(endpoint_stream(command.endpoint))
        if not isinstance(state, Absent):
            self._expiries.note(state.facts)
            await self._cells.settle(state)
        return answer

    async def there(self, endpoints: Collection[str]) -> Sequence[str]:
        """Those that are there, in any state but Deleted."""
        return sorted(await self._rows.endpoints(endpoints))

    async def blockers(self, service: str) -> Sequence[str]:
        """Endpoints of a service that forward or are about to, or whose sessions drain; the first thousand of each."""
        found = await self._rows.listed(ENDPOINT, Window(MOST_BLOCKERS), Scope(parent=service), BLOCKING)
        return [row.id for row in found.items] + await self._draining(service)

    async def _draining(self, service: str) -> list[str]:
        found: list[str] = []
        async for batch in self._rows.batches(ENDPOINT, parent=service, states=DRAINABLE):
            found += [row.id for row in batch if state_of(row.data).facts.drain_until]
            if len(found) >= MOST_BLOCKERS:
                break
        return found[:MOST_BLOCKERS]

    async def _execute(self, command: Change | Delete, context: CommandContext) -> endpoint_pb.Endpoint:
        stream = endpoint_stream(command.endpoint)
        outcome = await self._streams.endpoints.execute(
            stream, command, context, self._render, revision=_seen_by_its_owner
        )
        return endpoint_pb.Endpoint.FromString(outcome.response)

    def _render(self, state: State, _version: int) -> bytes:
        return self._cells.show(state).SerializeToString()


def _seen_by_its_owner(state: State, version: int) -> int:
    return version if isinstance(state, Absent) else state.facts.revision
