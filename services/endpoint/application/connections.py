"""Connections for those who publish services: their consumers' endpoints, without their networks."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from services.common.errors import NotFound
from services.common.eventsourcing.context import CommandContext
from services.common.eventsourcing.selection import ALL, Found, Scope, Selection, Window
from services.common.principal import Principal
from services.common.watching.beginning import Place
from services.common.watching.sight import Watch
from services.common.watching.watcher import Told
from services.common.watching.watching import Watching
from services.endpoint.application.expiries import Expiries
from services.endpoint.application.rows import Rows
from services.endpoint.application.streams import Streams
from services.endpoint.domain.endpoint import Absent, Deleted, State
from services.endpoint.domain.endpoint_commands import ProviderCommand
from services.endpoint.domain.endpoint_decisions import is_provider
from services.endpoint.projections import ENDPOINT
from services.endpoint.wire.resource import connection_of, connection_resource
from services.endpoint.wire.sights import Change
from services.endpoint.wire.stored import endpoint_stream
from sidegate.api.endpoint.v1 import endpoint_pb2 as endpoint_pb
from sidegate.api.events.v1.endpoint_events_pb2 import EndpointEvent

PARTS = uuid.UUID("f4c0a7f2-4b0e-4f0f-8a45-6f3d6f8a9b17")
"""The name space of requests that are a part of another."""

NONE: Mapping[str, int | None] = MappingProxyType({})


class Connections:
    def __init__(self, streams: Streams, rows: Rows, expiries: Expiries, watching: Watching[Change]) -> None:
        self._streams = streams
        self._rows = rows
        self._expiries = expiries
        self._watching = watching

    async def get(self, service: str, endpoint: str, by: Principal) -> endpoint_pb.Connection:
        state, _ = await self._streams.endpoints.load(endpoint_stream(endpoint))
        if isinstance(state, Absent | Deleted) or not is_provider(state.facts, service, by):
            raise NotFound("connection", endpoint)
        return connection_resource(state)

    async def listed(
        self, service: str, by: Principal, window: Window, selection: Selection = ALL
    ) -> Found[endpoint_pb.Connection]:
        """A part of the list of a service's connections; nothing of another's."""
        scope = Scope(parent=service, counterpart=str(by))
        found = await self._rows.listed(ENDPOINT, window, scope, selection)
        return Found(
            [(place, connection_of(EndpointEvent.FromString(row.data))) for place, row in found.rows], found.total
        )

    async def counts(self, services: Sequence[str], by: Principal, states: Sequence[str]) -> Mapping[str, int]:
        """How many connections each of the services has; none of another's."""
        return await self._rows.counts(ENDPOINT, services, str(by), states)

    def watch(self, watch: Watch, place: Place) -> AsyncGenerator[Told[Change], None]:
        """What happens to what is watched, as it happens."""
        return self._watching.watch(watch, place)

    async def decide(self, command: ProviderCommand, context: CommandContext) -> endpoint_pb.Connection:
        stream = endpoint_stream(command.endpoint)
        outcome = await self._streams.endpoints.execute(stream, command, context, _render)
        if not isinstance(outcome.state, Absent) and not context.validate_only:
            self._expiries.note(outcome.state.facts)
        return endpoint_pb.Connection.FromString(outcome.response)

    async def decide_all(
        self, commands: Sequence[ProviderCommand], context: CommandContext, versions: Mapping[str, int | None] = NONE
    ) -> Sequence[endpoint_pb.Connection | BaseException]:
        """Each on its own, at the same time: what it left, or why it was refused. Each is remembered by itself.

        `versions` are expected ones, by endpoint.
        """
        each = [self.decide(command, _part(context, command.endpoint, versions)) for command in commands]
        return await asyncio.gather(*each, return_exceptions=True)


def _part(context: CommandContext, endpoint: str, versions: Mapping[str, int | None]) -> CommandContext:
    """The context of one decision of many: its request is the same whenever the whole is repeated."""
    id_ = str(uuid.uuid5(PARTS, f"{context.request_id}/{endpoint}")) if context.request_id else ""
    return replace(context, request_id=id_, expected_version=versions.get(endpoint))


def _render(state: State, _version: int) -> bytes:
    if isinstance(state, Absent):
        raise TypeError("a decision leaves a connection")
    return connection_resource(state).SerializeToString()
