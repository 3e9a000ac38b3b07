"""What has happened, as the contract has it."""

from collections.abc import Callable
from typing import NamedTuple

from services.common.eventsourcing.snapshots import PastStore
from services.common.eventsourcing.store import RecordedEvent
from services.common.history import deeds
from services.common.history.deeds import Deed, HappeningsOf, Sought
from services.common.history.history import History
from services.common.rpc import paging
from services.common.rpc.moments import nanoseconds
from services.common.watching.sight import OPERATORS
from sidegate.api.events.v1.history_pb2 import Deed as Shown
from sidegate.api.events.v1.history_pb2 import ListDeedsRequest, ListDeedsResponse
from sidegate.api.events.v1.log_pb2 import EventMeta


class Reader(NamedTuple):
    """Who asks: a project, or the operator, who `reads_all`."""

    project: str
    reads_all: bool

    def __str__(self) -> str:
        return self.project


class Deeds(NamedTuple):
    """Those of one log."""

    store: PastStore
    history: History
    happenings: HappeningsOf

    async def read(
        self, request: ListDeedsRequest, caller: Reader, spend: Callable[[int], None] = lambda _: None
    ) -> ListDeedsResponse:
        """The page. `spend` is told how many events are looked at."""
        query = paging.query_of(request)
        place = paging.decode(request.page_token, query, (0,))
        low, high = await self._span(request)
        if place:
            low, high = (int(place[0]), high) if request.oldest_first else (low, min(high, int(place[0])))
        found = await deeds.page(
            self.store,
            self.happenings,
            sought(request, caller),
            (low, high),
            paging.page_size(request.page_size),
            oldest_first=request.oldest_first,
            spend=spend,
        )
        token = paging.encode((found.onward,), query) if found.onward else ""
        shown = [shown_to(caller, deed) for deed in found.deeds]
        reached = found.onward + (-1 if request.oldest_first else 1) if found.onward else 0
        answer = ListDeedsResponse(deeds=shown, next_page_token=token, reached=reached)
        if reached and caller.reads_all:
            answer.reached_time.FromNanoseconds(found.reached_at)
        return answer

    async def _span(self, request: ListDeedsRequest) -> tuple[int, int]:
        """The positions between the moments that are named, both included."""
        end = (await self.store.head()).position
        low, high = 1, end
        if request.HasField("start_time"):
            low = await self.history.moment(nanoseconds(request.start_time, "start_time") - 1, end) + 1
        if request.HasField("end_time"):
            high = await self.history.moment(nanoseconds(request.end_time, "end_time") - 1, end)
        return low, min(high, request.below - 1) if request.below else high


def sought(request: ListDeedsRequest, caller: Reader) -> Sought:
    """What is asked for, of what the caller may read: of its own project, whoever it says that it is."""
    audience = (request.owner or OPERATORS) if caller.reads_all else str(caller)
    needles = [each for each in (request.actor, "" if audience == OPERATORS else audience.partition("/")[0]) if each]
    # A kind of resources has its ids in its data; gateways have them there, too.
    needles += [request.id] * bool(request.id)

    def fits(event: RecordedEvent) -> bool:
        if not request.actor:
            return True
        meta = EventMeta.FromString(event.meta)
        if not caller.reads_all and f"{meta.account}/{meta.project}" != str(caller):
            return False
        return meta.account == request.actor

    return Sought(audience, request.kind, request.id, tuple(each.encode() for each in needles), fits)


def shown_to(caller: Reader, deed: Deed) -> Shown:
    """A project hears who did it where it was the project itself."""
    event, told = deed
    shown = Shown(position=event.position, what=told.what, kind=told.kind, id=told.id, name=told.name)
    shown.time.FromNanoseconds(event.recorded_at)
    meta = EventMeta.FromString(event.meta)
    if caller.reads_all:
        shown.version, shown.hash = event.version, event.hash
    elif f"{meta.account}/{meta.project}" != str(caller):
        return shown
    shown.account, shown.project, shown.method = meta.account, meta.project, meta.method
    shown.request_id, shown.acting = meta.request_id, meta.acting
    if caller.reads_all or not meta.acting:
        shown.access_key = meta.access_key
    return shown
