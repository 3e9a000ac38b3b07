"""Cells with their gateways: who is a member, what they report, and what follows for endpoints."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import structlog

from services.common.eventsourcing.resource_table import ResourceRow
from services.endpoint.application.agenda import Agenda
from services.endpoint.application.limits import Limits
from services.endpoint.application.resolvers import Resolvers
from services.endpoint.application.rows import Rows
from services.endpoint.application.streams import Streams, no_answer, on_our_own
from services.endpoint.domain import gateway as gateways
from services.endpoint.domain.backend_health import Backends, Counts, HealthReports
from services.endpoint.domain.demand import Demand, Place
from services.endpoint.domain.endpoint import Absent, Creating, Deleting, Known, State
from services.endpoint.domain.endpoint_commands import ConfirmAbsence, ConfirmForwarding, Expire, SystemCommand
from services.endpoint.domain.membership import Membership
from services.endpoint.domain.presence import Readiness, Reports, Standing, Statement, behind, standing
from services.endpoint.domain.traffic_board import Board
from services.endpoint.projections import CREATING, DELETING, ENDPOINT, GATEWAY
from services.endpoint.wire.endpoint import state_of
from services.endpoint.wire.gateway import member_of
from services.endpoint.wire.resource import endpoint_resource, show, standing_of
from services.endpoint.wire.stored import endpoint_stream, gateway_stream
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent

NOTHING: Mapping[str, Backends] = MappingProxyType({})

log = structlog.get_logger(__name__)


class Cells:
    """Every cell, as gateways have reported since this program started. Made by `open`."""

    def __init__(
        self,
        *,
        streams: Streams,
        rows: Rows,
        agenda: Agenda,
        demand: Demand,
        limits: Limits,
        membership: Membership,
        clock: Callable[[], int],
        resolvers: Resolvers,
        board: Board,
    ) -> None:
        self._resolvers, self._board = resolvers, board
        self._streams = streams
        self._rows = rows
        self._agenda = agenda
        self._demand = demand
        self._limits = limits
        self._membership = membership
        self._clock = clock
        self._reports, self._health = Reports(), HealthReports()
        self._unfenced: dict[str, frozenset[str]] | None = None

    @classmethod
    async def open(
        cls,
        streams: Streams,
        rows: Rows,
        agenda: Agenda,
        demand: Demand,
        *,
        limits: Limits,
        clock: Callable[[], int],
        resolvers: Resolvers,
        board: Board,
    ) -> "Cells":
        """Knows the members from the log; each has one lease to come back."""
        members = [member_of(row.data) async for batch in rows.batches(GATEWAY) for row in batch]
        membership = Membership(limits.lease, members, clock())
        for member in members:
            if isinstance(member, gateways.Joined):
                agenda.welcome(member.cell, member.id)
        return cls(
            streams=streams,
            rows=rows,
            agenda=agenda,
            demand=demand,
            limits=limits,
            membership=membership,
            clock=clock,
            resolvers=resolvers,
            board=board,
        )

    def joined(self, cell: str) -> frozenset[str]:
        return self._membership.joined(cell)

    def readers(self) -> dict[str, str]:
        """Those that were not retired, each with its cell."""
        return self._membership.gateways()

    def members(self) -> Sequence[gateways.Joined | gateways.Lost]:
        """Those that are joined or lost."""
        return self._membership.members()

    def holds(self, gateway: str, session: str) -> bool:
        return self._membership.holds(gateway, session)

    def heard_at(self, gateway: str) -> int:
        """When it last joined or reported (nanoseconds since the epoch); 0: not since this program began."""
        return self._membership.heard_at(gateway)

    def show(self, state: State) -> endpoint_pb.Endpoint:
        """The endpoint for its owner, with what its gateways say of it."""
        if isinstance(state, Absent):
            raise TypeError("there is no endpoint to show")
        facts, cell = state.facts, state.facts.placement.cell
        counts = self._health.counts(facts.service, self.joined(cell))
        readiness, answered = self._readiness(standing(state), cell, counts), self._resolvers.since(cell, facts.vpc)
        return show(endpoint_resource(state), readiness, self._demand.worst(facts.id), answered)

    def show_row(self, row: ResourceRow) -> endpoint_pb.Endpoint:
        """The same from its row, a fifth of the work."""
        resource = EndpointEvent.FromString(row.data).endpoint
        counts = self._health.counts(resource.service, self.joined(row.partition))
        readiness = self._readiness(standing_of(resource), row.partition, counts)
        answered = self._resolvers.since(row.partition, resource.vpc_id)
        return show(resource, readiness, self._demand.worst(resource.id), answered)

    def _readiness(self, standing: Standing, cell: str, counts: Counts | None) -> Readiness:
        return behind(self._reports.readiness(standing, self.joined(cell)), counts.failing_since if counts else 0)

    def health(self, service: str) -> Mapping[str, Backends]:
        """What each joined gateway says of the backends of a service."""
        joined = frozenset[str]().union(*(self.joined(cell) for cell in self._membership.cells()))
        return self._health.of(service, joined)

    async def join(self, gateway: str, cell: str) -> str:
        """Makes the gateway a member, or renews its membership; gives the new session's id."""
        await self._change(gateway, gateways.Join(gateway, cell), "Join")
        session = secrets.token_hex(16)
        self._membership.admit(gateway, session, self._clock())
        self._reports.forget_gateway(gateway)
        self._demand.forget_gateway(gateway)
        self._health.forget_gateway(gateway)
        self._agenda.welcome(cell, gateway)
        return session

    async def retire(self, gateway: str) -> None:
        """Takes a gateway away for good: nothing waits for it any more."""
        await self._change(gateway, gateways.Retire(gateway), "RetireGateway")
        self._health.forget_gateway(gateway)
        self._board.retire(gateway, self._clock())
        await self._settle_deleting()

    async def report(
        self, gateway: str, session: str, statements: Sequence[Statement], health: Mapping[str, Backends] = NOTHING
    ) -> bool:
        """Takes in what a gateway says and draws the consequences; False where the session is not known."""
        if not self._membership.renew(gateway, session, self._clock()):
            return False
        if health:
            await self._note_health(gateway, health)
        rows = await self._rows.endpoints([said.endpoint for said in statements])
        now = self._clock()
        for said in statements:
            if row := rows.get(said.endpoint):
                self._reports.note(said, now)
                self._note_demand(said, row, now)
        waiting = [row for row in rows.values() if row.state in (CREATING, DELETING)]
        await asyncio.gather(*(self.settle(state_of(row.data)) for row in waiting))
        return True

    async def _note_health(self, gateway: str, health: Mapping[str, Backends]) -> None:
        """Of services that the gateway's cell was never told of, it has nothing to say."""
        told = await self._rows.told(self._membership.gateways()[gateway], health.keys())
        for service in told & health.keys():
            self._health.note(gateway, service, health[service])

    def _note_demand(self, said: Statement, row: ResourceRow, now: int) -> None:
        """What was said of an earlier generation was said before the gateway knew what it has now."""
        place, number = Place(said.endpoint, said.gateway), said.sources_wanted
        if number and said.generation != EndpointEvent.FromString(row.data).endpoint.generation:
            return
        if self._demand.note(place, number, now):
            self._agenda.grow(place)

    async def settle(self, state: Known) -> None:
        """Draws the consequence of what is reported, and of time, for an endpoint that waits for its gateways."""
        command = self._consequence(state)
        if command is None:
            return
        context = on_our_own(type(command).__name__, command.at)
        try:
            await self._streams.endpoints.execute(endpoint_stream(state.facts.id), command, context, no_answer)
        except BaseException:
            self._unfenced = None  # so that the next look misses none
            raise
        if isinstance(command, ConfirmAbsence):
            self._reports.forget_endpoint(state.facts.id)
            self._demand.forget_endpoint(state.facts.id)
            self._board.forget(state.facts.id, self._clock())

    def _consequence(self, state: Known) -> SystemCommand | None:
        facts, now = state.facts, self._clock()
        cell, deadline = facts.placement.cell, self._limits.creation_deadline
        match state:
            case Creating() if self._reports.all_forward(facts.id, facts.generation, self.joined(cell)):
                return ConfirmForwarding(now, facts.generation)
            case Creating() if now - facts.created_at >= deadline:
                return Expire(now, deadline)
            case Deleting() if self._reports.none_has(facts.id, facts.generation, self._membership.unfenced(cell, now)):
                return ConfirmAbsence(now, facts.generation)
            case _:
                return None

    async def tick(self) -> None:
        """What time brings: leases and deadlines run out, fences come into force."""
        for gateway in self._membership.overdue(self._clock()):
            await self._lose(gateway)
        async for rows in self._rows.batches(ENDPOINT, states=(CREATING,)):
            await asyncio.gather(*(self.settle(state_of(row.data)) for row in rows))
        await self._settle_deleting()

    async def _settle_deleting(self) -> None:
        """Looks at endpoints that are Deleting, where fewer gateways are waited for than at the last look."""
        now = self._clock()
        unfenced = {cell: self._membership.unfenced(cell, now) for cell in self._membership.cells()}
        if unfenced == self._unfenced:
            return
        async for rows in self._rows.batches(ENDPOINT, states=(DELETING,)):
            await asyncio.gather(*(self.settle(state_of(row.data)) for row in rows))
        self._unfenced = unfenced

    async def _lose(self, gateway: str) -> None:
        log.warning("a gateway's lease ran out", gateway=gateway)
        await self._change(gateway, gateways.Lose(self._clock() + self._limits.fence_after), "LoseGateway")

    async def _change(self, gateway: str, command: gateways.Command, method: str) -> None:
        context = on_our_own(method, self._clock())
        outcome = await self._streams.gateways.execute(gateway_stream(gateway), command, context, no_answer)
        if not isinstance(outcome.state, gateways.Absent):
            self._membership.become(outcome.state)
        if not isinstance(outcome.state, gateways.Joined):
            self._demand.forget_gateway(gateway)
            self._board.lose(gateway, self._clock())
