"""The log, read by the operator: the same service in every program that keeps one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from math import inf

from services.common.errors import Forbidden
from services.common.eventsourcing.store import EventStore, RecordedEvent
from services.common.evidence.notary import Notary
from services.common.identity.access_log import AccessLog, Refusal
from services.common.rpc import paging
from services.common.rpc.auth import principal
from services.common.rpc.calls import Context
from services.common.rpc.moments import nanoseconds
from services.common.rpc.records import to_log_record
from services.common.rpc.watch import place_of
from services.common.watching.limits import WatchLimits
from services.common.watching.sight import Sight, Watch
from services.common.watching.watching import Watching
from sidegate.api.events.v1 import log_pb2, log_pb2_grpc

BATCH = 500
AUDITORS = frozenset({"audit"})
"""The audience of those who may read the log."""

LIMITS = WatchLimits()


def _require_reader() -> None:
    caller = principal()
    if not (caller.is_operator or caller.is_system):
        raise Forbidden("OPERATOR_ONLY", "only the operator may read the audit log")


def span_of(request: log_pb2.ListRecordsRequest) -> tuple[float, float]:
    """From when on and before when, in nanoseconds. Raises Invalid."""
    start = nanoseconds(request.start_time, "start_time") if request.HasField("start_time") else -inf
    return start, nanoseconds(request.end_time, "end_time") if request.HasField("end_time") else inf


def matches(event: RecordedEvent, request: log_pb2.ListRecordsRequest, span: tuple[float, float]) -> bool:
    """Whether a list with this request shows the event."""
    if request.stream and event.stream != request.stream:
        return False
    if request.account and log_pb2.EventMeta.FromString(event.meta).account != request.account:
        return False
    return span[0] <= event.recorded_at < span[1]


def sights_of(event: RecordedEvent) -> Sequence[Sight[log_pb2.LogRecord]]:
    """Whoever may read the log sees all of every event."""
    return (Sight(AUDITORS, "record", event.stream, to_log_record(event)),)


def _shown(refusal: Refusal) -> log_pb2.Refusal:
    shown = log_pb2.Refusal(
        method=refusal.method,
        code=refusal.code,
        reason=refusal.reason,
        account=refusal.account,
        project=refusal.project,
        acting=refusal.acting,
        access_key=refusal.access_key,
        peer=refusal.peer,
        resource=refusal.resource,
        left_out=refusal.left_out,
    )
    shown.time.FromNanoseconds(refusal.at)
    return shown


class AuditServicer(log_pb2_grpc.AuditServiceServicer):
    """Serves the log `log`; with a notary its head comes signed."""

    def __init__(
        self,
        store: EventStore,
        log: str,
        notary: Notary | None = None,
        limits: WatchLimits = LIMITS,
        refused: AccessLog | None = None,
    ) -> None:
        self._store, self._log, self._notary = store, log, notary
        self._refused = refused or AccessLog()
        self.watching = Watching(store, sights_of, limits)

    async def GetHead(self, request: log_pb2.GetHeadRequest, context: Context) -> log_pb2.GetHeadResponse:
        _require_reader()
        head = await self._store.head()
        answer = log_pb2.GetHeadResponse(
            log=self._log, log_id=head.log_id, epoch=head.epoch, position=head.position, hash=head.hash
        )
        if self._notary is not None:
            answer.public_key = self._notary.public_key.pem
            answer.signed = self._notary.sign(head).line if head.position else b""
        return answer

    async def ListRecords(self, request: log_pb2.ListRecordsRequest, context: Context) -> log_pb2.ListRecordsResponse:
        _require_reader()
        query, span = paging.query_of(request), span_of(request)
        place, size = paging.decode(request.page_token, query, (0,)), paging.page_size(request.page_size)
        after = int(place[0]) if place else 0
        found: list[RecordedEvent] = []
        while len(found) <= size and (batch := await self._store.read(after, BATCH)):
            found += [event for event in batch if matches(event, request, span)]
            after = batch[-1].position
        page = found[:size]
        token = paging.encode((page[-1].position,), query) if len(found) > size else ""
        return log_pb2.ListRecordsResponse(records=map(to_log_record, page), next_page_token=token)

    async def ListRefusals(
        self, request: log_pb2.ListRefusalsRequest, context: Context
    ) -> log_pb2.ListRefusalsResponse:
        _require_reader()
        newest = self._refused.newest(paging.page_size(request.page_size))
        return log_pb2.ListRefusalsResponse(refusals=map(_shown, newest))

    async def ReadLog(self, request: log_pb2.ReadLogRequest, context: Context) -> AsyncIterator[log_pb2.LogRecord]:
        _require_reader()
        async for event in read_range(self._store, request.after, request.through):
            yield to_log_record(event)

    async def FollowLog(
        self, request: log_pb2.FollowLogRequest, context: Context
    ) -> AsyncIterator[log_pb2.FollowLogResponse]:
        _require_reader()
        watch = Watch(principal().account, AUDITORS)
        async with aclosing(self.watching.watch(watch, place_of(request))) as answers:
            async for told in answers:
                yield log_pb2.FollowLogResponse(
                    position=told.position, log_id=told.log_id, epoch=told.epoch, records=told.changes
                )


async def read_range(
    store: EventStore, after: int, through: int = 0, partition: str | None = None
) -> AsyncIterator[RecordedEvent]:
    """The log's events above `after`, up to `through` (0: to the end as it is now)."""
    through = through or (await store.head()).position
    while after < through and (batch := await store.read(after, BATCH, partition)):
        for event in batch:
            if event.position > through:
                return
            yield event
        after = batch[-1].position
