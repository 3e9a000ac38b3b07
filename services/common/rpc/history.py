"""The past of a log, asked for by the operator: the same service in every program that keeps one."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.errors import OutOfRange, WrongState
from services.common.eventsourcing.snapshots import PastStore
from services.common.eventsourcing.store import Head
from services.common.history.history import History
from services.common.history.index import Index
from services.common.history.past import Past, Shown
from services.common.rpc.auth import require_operator
from services.common.rpc.calls import Context
from services.common.rpc.server import Hosted
from sidegate.api.events.v1 import history_pb2, history_pb2_grpc

AT_ONCE = 2
"""Questions that are worked on at the same time: each may fold tens of thousands of events."""

LONGEST_SECONDS = 60.0
BATCH = 200


class HistoryServicer(history_pb2_grpc.HistoryServiceServicer):
    """Serves the past of the log `log`."""

    def __init__(self, store: PastStore, log: str, history: History, past: Past[history_pb2.ResourceState]) -> None:
        self._store, self._log, self._history, self._past = store, log, history, past
        self._turns = asyncio.Semaphore(AT_ONCE)

    def hosted(self) -> Hosted:
        return Hosted(
            "sidegate.api.events.v1.HistoryService",
            lambda server: history_pb2_grpc.add_HistoryServiceServicer_to_server(self, server),
        )

    async def ReadState(
        self, request: history_pb2.ReadStateRequest, context: Context
    ) -> AsyncIterator[history_pb2.ReadStateResponse]:
        require_operator()
        head = await self._store.head()
        position = await self._position(request, head)
        try:
            async with asyncio.timeout(LONGEST_SECONDS), self._turns:
                yield history_pb2.ReadStateResponse(header=await self._header(head, position))
                index = await self._history.at(position)
                rows = self._chosen(index, request)
                for start in range(0, len(rows), BATCH):
                    yield history_pb2.ReadStateResponse(
                        states=await self._states(rows[start : start + BATCH], request, index)
                    )
        except TimeoutError:
            text = f"this took more than {LONGEST_SECONDS:.0f} s: ask for less, a resource or a project"
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, text)

    async def _position(self, request: history_pb2.ReadStateRequest, head: Head) -> int:
        _require_log(request, head)
        if request.position > head.position:
            text = (
                f"the {self._log}'s log ends at position {head.position}: there is nothing at {request.position};"
                " if there was, the log has been restored to an earlier state"
            )
            raise OutOfRange("POSITION_AHEAD", text, metadata={"position": str(head.position)})
        if request.position or not request.HasField("time"):
            return request.position or head.position
        return await self._history.moment(request.time.ToNanoseconds(), head.position)

    async def _header(self, head: Head, position: int) -> history_pb2.StateHeader:
        header = history_pb2.StateHeader(log=self._log, log_id=head.log_id, epoch=head.epoch, position=position)
        for event in await self._store.events_at([position]):
            time = Timestamp()
            time.FromNanoseconds(event.recorded_at)
            header.time.CopyFrom(time)
        return header

    def _chosen(self, index: Index, request: history_pb2.ReadStateRequest) -> Sequence[Shown]:
        match request.WhichOneof("scope"):
            case "resource":
                return self._past.one(index, request.resource.kind, request.resource.id)
            case "owner":
                return self._past.owned(index, request.owner)
            case _:
                return self._past.table(index, request.cell)

    async def _states(
        self, rows: Sequence[Shown], request: history_pb2.ReadStateRequest, index: Index
    ) -> list[history_pb2.ResourceState]:
        events = await self._history.events([row.place.position for row in rows])
        found = []
        for row in rows:
            event = events[row.place.position]
            shown = self._past.show_entry(row, event) if request.cell else self._past.show(row, event, index)
            if shown is None:
                continue
            shown.kind, shown.id = row.kind, row.id.rpartition("/")[2]
            shown.created_position, shown.position = row.place.created, row.place.position
            found.append(shown)
        return found


def _require_log(request: history_pb2.ReadStateRequest, head: Head) -> None:
    if request.log_id in ("", head.log_id) and request.epoch in (0, head.epoch):
        return
    text = f"the log is now {head.log_id}, epoch {head.epoch}: what was asked for is a position of another"
    raise WrongState("LOG_CHANGED", text, metadata={"log_id": head.log_id, "epoch": str(head.epoch)})
