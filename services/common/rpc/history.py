"""The past of a log, asked for by the operator, and by a project of its own: the same service in every program."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.errors import OutOfRange, WrongState
from services.common.eventsourcing.snapshots import PastStore
from services.common.eventsourcing.store import Head
from services.common.history.history import History
from services.common.history.index import Index
from services.common.history.past import Past, Shown
from services.common.history.turns import Turns
from services.common.principal import Role
from services.common.rpc import deeds
from services.common.rpc.auth import identity
from services.common.rpc.calls import Context
from services.common.rpc.deeds import Reader
from services.common.rpc.moments import nanoseconds
from services.common.rpc.permissions import NotAllowed
from services.common.rpc.server import Hosted
from sidegate.api.events.v1 import history_pb2, history_pb2_grpc

LONGEST_SECONDS = 60.0
BATCH = 200
FOR_A_PLACE = 0.1
"""Of an event's cost, what it costs to look at a resource that was there."""

Spend = Callable[[float], None]


class HistoryServicer(history_pb2_grpc.HistoryServiceServicer):
    """Serves the past of the log `log`."""

    def __init__(
        self,
        store: PastStore,
        log: str,
        history: History,
        past: Past[history_pb2.ResourceState],
        turns: Turns | None = None,
    ) -> None:
        self._store, self._log, self._history, self._past = store, log, history, past
        self._turns = turns or Turns()

    def hosted(self) -> Hosted:
        return Hosted(
            "sidegate.api.events.v1.HistoryService",
            lambda server: history_pb2_grpc.add_HistoryServiceServicer_to_server(self, server),
        )

    async def ReadState(
        self, request: history_pb2.ReadStateRequest, context: Context
    ) -> AsyncIterator[history_pb2.ReadStateResponse]:
        caller = _caller()
        _require_own(caller, request)
        try:
            async with asyncio.timeout(LONGEST_SECONDS), self._turn(caller):
                async with self._work(caller):
                    header, rows, index = await self._found(request, caller)
                yield history_pb2.ReadStateResponse(header=header)
                for start in range(0, len(rows), BATCH):
                    async with self._work(caller):
                        states = await self._states(rows[start : start + BATCH], request, index)
                    yield history_pb2.ReadStateResponse(states=states)
        except TimeoutError:
            text = f"this took more than {LONGEST_SECONDS:.0f} s: ask for less, a resource or a project"
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, text)

    async def ListDeeds(self, request: history_pb2.ListDeedsRequest, context: Context) -> history_pb2.ListDeedsResponse:
        caller = _caller()
        if not caller.reads_all and request.owner not in ("", str(caller)):
            raise NotAllowed("project", request.owner)
        async with self._turn(caller), self._work(caller):
            log = deeds.Deeds(self._store, self._history, self._past.happenings)
            return await log.read(request, caller, self._spending(caller))

    def _turn(self, caller: Reader) -> AbstractAsyncContextManager[None]:
        return nullcontext() if caller.reads_all else self._turns.of(str(caller))

    def _work(self, caller: Reader) -> AbstractAsyncContextManager[None]:
        return self._turns.operators() if caller.reads_all else self._turns.projects()

    def _spending(self, caller: Reader) -> Spend:
        """Who is told what a question of the caller's costs."""
        return lambda events: None if caller.reads_all else self._turns.pay(str(caller), events)

    async def _found(
        self, request: history_pb2.ReadStateRequest, caller: Reader
    ) -> tuple[history_pb2.StateHeader, Sequence[Shown], Index]:
        """What is asked for, and of the index no more than that needs: its reader may take his time."""
        spend, head = self._spending(caller), await self._store.head()
        position = await self._position(request, head)
        header = await self._header(head, position, timed=caller.reads_all)
        index = await self._history.at(position, spend)
        spend(FOR_A_PLACE * len(index))
        rows = self._chosen(index, request, "" if caller.reads_all else str(caller))
        header.total = len(rows)
        rows = rows[request.skip : request.skip + request.limit if request.limit else None]
        spend(len(rows))
        ids = {row.id for row in rows}
        return header, rows, {key: place for key, place in index.items() if key[1] in ids}

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
        return await self._history.moment(nanoseconds(request.time, "time"), head.position)

    async def _header(self, head: Head, position: int, *, timed: bool) -> history_pb2.StateHeader:
        header = history_pb2.StateHeader(log=self._log, log_id=head.log_id, epoch=head.epoch, position=position)
        for event in await self._store.events_at([position] if timed else []):
            time = Timestamp()
            time.FromNanoseconds(event.recorded_at)
            header.time.CopyFrom(time)
        return header

    def _chosen(self, index: Index, request: history_pb2.ReadStateRequest, owner: str) -> Sequence[Shown]:
        """What is asked for; of one resource, to an `owner` only where it was his."""
        match request.WhichOneof("scope"):
            case "resource":
                return self._past.one(index, request.resource.kind, request.resource.id, owner)
            case "owner":
                return self._past.owned(index, request.owner)
            case "everything":
                return self._past.everything(index)
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


def _caller() -> Reader:
    found = identity()
    return Reader(str(found.principal), found.role is Role.OPERATOR and found.principal.is_operator)


def _require_own(caller: Reader, request: history_pb2.ReadStateRequest) -> None:
    """A project asks of itself, or of a resource, which is looked at when it is found. Raises NotAllowed."""
    if caller.reads_all:
        return
    match request.WhichOneof("scope"):
        case "owner":
            if request.owner != str(caller):
                raise NotAllowed("project", request.owner)
        case "resource":
            return
        case scope:
            raise NotAllowed("past", str(scope))


def _require_log(request: history_pb2.ReadStateRequest, head: Head) -> None:
    if request.log_id in ("", head.log_id) and request.epoch in (0, head.epoch):
        return
    text = f"the log is now {head.log_id}, epoch {head.epoch}: what was asked for is a position of another"
    raise WrongState("LOG_CHANGED", text, metadata={"log_id": head.log_id, "epoch": str(head.epoch)})
