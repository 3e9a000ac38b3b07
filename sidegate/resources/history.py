"""The past of a region's logs, as the operator asks for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.events.v1 import history_pb2 as rpc
from sidegate.api.events.v1.history_pb2_grpc import HistoryServiceStub
from sidegate.resources.logs import LogName
from sidegate.transport import Caller

LOGS = {"endpoint": LogName.ENDPOINT, "connection": LogName.ENDPOINT}
"""The log that owns resources of a kind, where it is not the registry's."""


@dataclass(frozen=True, slots=True)
class When:
    """A position of a log, or a moment; with neither, now. A position may name the log that it is one of."""

    position: int = 0
    time: Timestamp | None = None
    log_id: str = ""
    epoch: int = 0


NOW = When()


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

    async def project(self, log: LogName, account: str, project: str, when: When = NOW) -> State:
        """All that a project had in a log, as Get and List showed it."""
        return await self._read(log, when, rpc.ReadStateRequest(owner=f"{account}/{project}"))

    async def cell(self, cell: str, when: When = NOW) -> State:
        """The forwarding table of a cell."""
        return await self._read(LogName.ENDPOINT, when, rpc.ReadStateRequest(cell=cell))

    async def _read(self, log: LogName, when: When, request: rpc.ReadStateRequest) -> State:
        request.position, request.log_id, request.epoch = when.position, when.log_id, when.epoch
        if when.time is not None:
            request.time.CopyFrom(when.time)
        caller = self._callers[log]
        header, states = rpc.StateHeader(), list[rpc.ResourceState]()
        async for part in caller.stream(HistoryServiceStub(caller.channel).ReadState, request):
            if part.HasField("header"):
                header = part.header
            states += part.states
        return State(header, states)
