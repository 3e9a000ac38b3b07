"""The deletion of endpoint services: closed first, so that nothing new comes, then decided by what is connected."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from services.common.errors import NotFound, Unavailable, WrongState
from services.common.eventsourcing.aggregate import Outcome
from services.common.eventsourcing.context import CommandContext
from services.registry.application.endpoints import Endpoints
from services.registry.application.publishing import rendered
from services.registry.application.settings import Settings
from services.registry.application.streams import Streams, on_our_own, stream
from services.registry.domain.service import Absent, Available, Closing, Deleted, Deleting, Existing, State
from services.registry.domain.service_commands import Close, Command, FinishDeletion, Reopen, StartDeletion
from services.registry.domain.vpc import NAMED_BLOCKERS
from services.registry.projections import CLOSING, DELETING, SERVICE, Resources
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService

log = structlog.get_logger(__name__)


class Deletions:
    def __init__(self, streams: Streams, resources: Resources, endpoints: Endpoints, settings: Settings) -> None:
        self._streams, self._resources, self._endpoints = streams, resources, endpoints
        self._settings = settings

    async def delete(self, id_: str, force: bool, context: CommandContext) -> EndpointService:
        """Deletes a service without live connections, with `force` any. Raises WrongState with the blockers' ids.

        Raises Unavailable if the endpoint service is away: the service then opens again, or is deleted, within
        `closing_for`.
        """
        if (first := await self._streams.first_answer(context)) is not None:
            return EndpointService.FromString(first)
        state, _ = await self._streams.services.load(stream("service", id_))
        if isinstance(state, Absent) or state.service.owner != context.principal:
            raise NotFound(SERVICE.name, id_)
        if context.validate_only:
            return await self._tried(state, force, context)
        close = Close(force, context.at_ns + self._settings.closing_for, context.at_ns)
        # Only the outcome answers the request, for a refusal is not remembered. Who finds the first step done has seen
        # an older version, and means the same.
        expected = None if isinstance(state, Closing | Deleting | Deleted) else context.expected_version
        first_step = replace(context, request_id="", expected_version=expected)
        closed = await self._execute(id_, close, first_step)
        outcome = await self._decide(id_, closed.state, replace(context, expected_version=None))
        return EndpointService.FromString(outcome.response)

    async def _tried(self, state: Existing, force: bool, context: CommandContext) -> EndpointService:
        """The service as its deletion would begin, where nothing stands in its way now."""
        id_ = state.service.id
        tried = await self._execute(id_, Close(force, context.at_ns, context.at_ns), context)
        if not force and isinstance(state, Available) and (blockers := await self._endpoints.blockers(id_)):
            raise in_use(id_, blockers)
        return EndpointService.FromString(tried.response)

    async def resume(self, at: int) -> None:
        """Goes on with every deletion that is under way."""
        context = on_our_own("ResumeDeletions", at)
        for id_ in await self._under_way():
            try:
                await self._resume(id_, context)
            except Unavailable as away:
                log.warning("a deletion waits", service=id_, why=away.text)

    async def _under_way(self) -> list[str]:
        return await self._resources.read(
            lambda now: [service.id for service in now.all(SERVICE, states=(CLOSING, DELETING))]
        )

    async def _resume(self, id_: str, context: CommandContext) -> None:
        state, _ = await self._streams.services.load(stream("service", id_))
        match state:
            case Closing(deadline=deadline) if deadline <= context.at_ns:
                await self._execute(id_, Reopen(deadline, "it was not decided in time", context.at_ns), context)
            case Closing():
                with suppress(WrongState):  # connections stand in the way: it is open again
                    await self._decide(id_, state, context)
            case Deleting() if not await self._endpoints.blockers(id_):
                await self._execute(id_, FinishDeletion(context.at_ns), context)
            case _:
                pass

    async def _decide(self, id_: str, state: State, context: CommandContext) -> Outcome[State]:
        deadline, connected = 0, False
        match state:
            case Closing(force=True):
                deadline, connected = state.deadline, await self._may_be_connected(id_)
            case Closing():
                deadline = state.deadline
                if blockers := await self._endpoints.blockers(id_):
                    return await self._give_up(id_, deadline, blockers, context)
        return await self._execute(id_, StartDeletion(deadline, connected, context.at_ns), context)

    async def _give_up(
        self, id_: str, deadline: int, blockers: Sequence[str], context: CommandContext
    ) -> Outcome[State]:
        reopen = Reopen(deadline, "connections stand in the way", context.at_ns)
        outcome = await self._execute(id_, reopen, replace(context, request_id=""))
        if isinstance(outcome.state, Deleting | Deleted):  # decided otherwise at the same moment
            return await self._execute(id_, StartDeletion(deadline, True, context.at_ns), context)
        raise in_use(id_, blockers)

    async def _may_be_connected(self, id_: str) -> bool:
        """Connections are cut in any case; without any the service is gone at once."""
        try:
            return bool(await self._endpoints.blockers(id_))
        except Unavailable:
            return True

    async def _execute(self, id_: str, command: Command, context: CommandContext) -> Outcome[State]:
        return await self._streams.services.execute(stream("service", id_), command, context, rendered)


def in_use(id_: str, blockers: Sequence[str]) -> WrongState:
    text = f"service {id_} has live connections: end them first, or delete it with force"
    return WrongState("SERVICE_IN_USE", text, blockers=blockers[:NAMED_BLOCKERS])
