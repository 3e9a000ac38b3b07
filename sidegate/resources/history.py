"""The past of a region's logs, as the operator asks for it, and a project for its own."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.events.v1 import history_pb2 as rpc
from sidegate.api.events.v1.history_pb2_grpc import HistoryServiceStub
from sidegate.resources.logs import LogName
from sidegate.transport import Caller

LOGS = {"endpoint": LogName.ENDPOINT, "connection": LogName.ENDPOINT}
"""The log that owns resources of a kind, where it is not the registry's."""

PAGE = 500


@dataclass(frozen=True, slots=True)
class When:
    """A position of a log, or a moment; with neither, now. A position may name the log that it is one of."""

    position: int = 0
    time: Timestamp | None = None
    log_id: str = ""
    epoch: int = 0


NOW = When()


@dataclass(frozen=True, slots=True)
class Part:
    """So many resources of an answer (0: all), without the first `skip`."""

    limit: int = 0
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Sought:
    """Which deeds: what is empty does not matter. `owner` is a project, ACCOUNT/PROJECT."""

    owner: str = ""
    actor: str = ""
    kind: str = ""
    id: str = ""
    start: Timestamp | None = None
    end: Timestamp | None = None
    oldest_first: bool = False
    below: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What was there at the place that `header` names, kind by kind in order of creation."""

    header: rpc.StateHeader
    states: Sequence[rpc.ResourceState]


class History:
    """What was there at any position or moment of the registry's or the endpoint service's log."""

    def __init__(self, registry: Caller, endpoint: Caller) -> None:
        self._callers = {LogName.REGISTRY: registry, LogName.ENDPOINT: endpoint}

    async def resource(self, kind: str, id: str, when: When = NOW) -> State:
        """One resource, of the log that owns its kind: "vpc", "service", "endpoint" and so on."""
        name = rpc.ResourceName(kind=kind, id=id)
        return await self._read(LOGS.get(kind, LogName.REGISTRY), when, rpc.ReadStateRequest(resource=name))

    async def project(
        self, log: LogName, account: str, project: str, when: When = NOW, part: Part | None = None
    ) -> State:
        """All that a project had in a log, as Get and List showed it."""
        return await self._read(log, when, rpc.ReadStateRequest(owner=f"{account}/{project}"), part)

    async def cell(self, cell: str, when: When = NOW, part: Part | None = None) -> State:
        """The forwarding table of a cell."""
        return await self._read(LogName.ENDPOINT, when, rpc.ReadStateRequest(cell=cell), part)

    async def everything(self, log: LogName, when: When = NOW, part: Part | None = None) -> State:
        """What all projects had in a log: for the operator."""
        return await self._read(log, when, rpc.ReadStateRequest(everything=True), part)

    async def deeds(self, log: LogName, sought: Sought, size: int = 0, page_token: str = "") -> rpc.ListDeedsResponse:
        """A page of what has happened; it may be empty and yet have a next one."""
        request = rpc.ListDeedsRequest(
            page_size=size,
            page_token=page_token,
            owner=sought.owner,
            actor=sought.actor,
            kind=sought.kind,
            id=sought.id,
            start_time=sought.start,
            end_time=sought.end,
            oldest_first=sought.oldest_first,
            below=sought.below,
        )
        caller = self._callers[log]
        return await caller.ask(HistoryServiceStub(caller.channel).ListDeeds, request)

    async def each_deed(self, log: LogName, sought: Sought) -> AsyncIterator[rpc.Deed]:
        """All of them, page after page."""
        token, more = "", True
        while more:
            page = await self.deeds(log, sought, PAGE, token)
            for deed in page.deeds:
                yield deed
            token, more = page.next_page_token, bool(page.next_page_token)

    async def _read(self, log: LogName, when: When, request: rpc.ReadStateRequest, part: Part | None = None) -> State:
        if part is not None:
            request.limit, request.skip = part.limit, part.skip
        request.position, request.log_id, request.epoch = when.position, when.log_id, when.epoch
        if when.time is not None:
            request.time.CopyFrom(when.time)
        caller = self._callers[log]
        header, states = rpc.StateHeader(), list[rpc.ResourceState]()
        async for answer in caller.stream(HistoryServiceStub(caller.channel).ReadState, request):
            if answer.HasField("header"):
                header = answer.header
            states += answer.states
        return State(header, states)
