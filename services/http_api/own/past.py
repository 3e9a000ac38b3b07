"""What happened to a project's own resources, and what each was like at any place of its log."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import AwareDatetime, JsonValue

from services.http_api.auth.caller import ProjectCaller, SignedRoute
from services.http_api.error_codes import CODES, Code
from services.http_api.errors import Refused
from services.http_api.limits import Gate
from services.http_api.own.changes import Told, change_of, source_of, watch
from services.http_api.own.models import Change, Changes, Difference, Differences, Kind, State
from services.http_api.own.places import NOW, Place
from services.http_api.upstream import Acting

MOST, LONGEST_SECONDS = 1000, 20.0
LAST = 2**63 - 1
TOO_LONG = Code("EndPoint.0013", 504, CODES["0013"].text)

router = APIRouter(prefix="/sidegate/v1", tags=["past"], route_class=SignedRoute)

Position = Annotated[int | None, Query(ge=0, le=LAST, description="at this position of the log, that event included")]
Time = Annotated[AwareDatetime | None, Query(description="at this moment, where no position is given; else now")]
Id = Annotated[UUID, Path(description="of the resource; a connection has its endpoint's")]


@dataclass(frozen=True, slots=True)
class When:
    """A position, or a moment; with neither, now."""

    position: int | None = None
    time: AwareDatetime | None = None

    def holds(self, change: Change) -> bool:
        """Whether the change had happened then."""
        if self.position is not None:
            return change.position <= self.position
        return self.time is None or _microseconds(change.time) <= round(self.time.timestamp() * 1_000_000)


@router.get("/{project_id}/history", operation_id="ListHistory")
async def list_history(
    *,
    caller: ProjectCaller,
    request: Request,
    kind: Kind,
    id: Annotated[UUID | None, Query(description="only of this resource")] = None,
    after: Annotated[int, Query(ge=0, le=LAST, description="only above this position; 0: from the oldest")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> Changes:
    """What happened to the project's resources of a kind, in order."""
    gate: Gate = request.app.state.gate
    found: list[Change] = []
    place, complete = Place(after), False
    with gate.stream(caller.project_id):
        head = await _head(caller, kind)
        async for position, changes in _told(caller, kind, str(id or ""), place, head):
            found += changes
            place, complete = Place(position, head.log_id, head.epoch), position >= (head.after or 0)
            if len(found) >= limit:
                break
    return Changes(log_id=head.log_id, epoch=head.epoch, position=place.after or 0, complete=complete, changes=found)


@router.get("/{project_id}/states/{kind}/{id}", operation_id="ShowState")
async def show_state(
    *, caller: ProjectCaller, request: Request, kind: Kind, id: Id, position: Position = None, time: Time = None
) -> State:
    """A resource of the project as it was at a place of its log; 404 where it was not there then."""
    state = await _state(caller, request, (kind, str(id)), When(position, time))
    if state is None:
        raise Refused("0005", f"There was no {kind} {id} then.")
    return state


@router.get("/{project_id}/states/{kind}/{id}/diff", operation_id="ShowDifferences")
async def show_differences(
    *,
    caller: ProjectCaller,
    request: Request,
    kind: Kind,
    id: Id,
    from_position: Position = None,
    from_time: Time = None,
    to_position: Position = None,
    to_time: Time = None,
) -> Differences:
    """What became of a resource of the project between two places of its log."""
    resource = (kind, str(id))
    before = await _state(caller, request, resource, When(from_position, from_time))
    after = await _state(caller, request, resource, When(to_position, to_time))
    if before is None and after is None:
        raise Refused("0005", f"There was no {kind} {id} at either place.")
    found = differences(before.resource if before else {}, after.resource if after else {})
    return Differences(before=before, after=after, differences=found)


def differences(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> list[Difference]:
    """Field by field, in order of their names."""
    names = sorted(before.keys() | after.keys())
    return [
        Difference(field=name, before=before.get(name), after=after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]


async def _state(caller: Acting, request: Request, resource: tuple[Kind, str], when: When) -> State | None:
    """The last change that had happened by then; None where there was none, or where it was the end."""
    kind, id_ = resource
    gate: Gate = request.app.state.gate
    last: Change | None = None
    with gate.stream(caller.project_id):
        head = await _head(caller, kind)
        if when.position is not None and when.position > (head.after or 0):
            raise Refused("0002", f"The log is at position {head.after}, not yet at {when.position}.")
        async for _, changes in _told(caller, kind, id_, Place(0), head):
            happened = [change for change in changes if when.holds(change)]
            last = happened[-1] if happened else last
            if len(happened) < len(changes):
                break
    if last is None or last.deleted:
        return None
    return State(
        log_id=head.log_id,
        epoch=head.epoch,
        position=last.position,
        time=last.time,
        kind=kind,
        resource=last.resource,
    )


async def _head(caller: Acting, kind: str) -> Place:
    """The end of the log that tells of a kind, as it is now. Raises Refused where that takes too long."""
    try:
        async with asyncio.timeout(LONGEST_SECONDS), aclosing(watch(caller, source_of(kind), NOW, {kind})) as answers:
            first = await anext(answers)
            return Place(first.position, first.log_id, first.epoch)
    except TimeoutError:
        raise Refused(TOO_LONG, "The service behind does not answer: try again.") from None


async def _told(
    caller: Acting, kind: str, id_: str, begin: Place, head: Place
) -> AsyncIterator[tuple[int, list[Change]]]:
    """What is told up to the end as it was; position by position. Raises Refused where that takes too long."""
    answers: AsyncGenerator[Told, None] = watch(caller, source_of(kind), begin, {kind}, id_)
    try:
        async with asyncio.timeout(LONGEST_SECONDS), aclosing(answers):
            async for told in answers:
                yield told.position, [change_of(change) for change in told.changes]
                if told.position >= (head.after or 0):
                    return
    except TimeoutError:
        raise Refused(TOO_LONG, "Ask for less: from a later position on.") from None


def _microseconds(time: str) -> int:
    """As exactly as callers can say it."""
    moment = Timestamp()
    moment.FromJsonString(time)
    return int(moment.ToMicroseconds())
