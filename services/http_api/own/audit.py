"""The logs as the operator reads them: who did what, what was refused, what a project had at a moment."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import AwareDatetime

from services.http_api.auth.caller import Caller, SignedRoute
from services.http_api.errors import Refused
from services.http_api.own.models import Owned, ProjectState, Record, Records, Refusals
from services.http_api.own.past import LAST
from sidegate.api.events.v1 import history_pb2, log_pb2
from sidegate.cli import facts

router = APIRouter(prefix="/sidegate/v1/audit", tags=["audit"], route_class=SignedRoute)

Log = Literal["registry", "endpoint"]
Name = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
PageSize = Annotated[int, Query(ge=1, le=1000)]


@router.get("/{log}/records", operation_id="ListRecords")
async def list_records(
    *,
    caller: Caller,
    log: Log,
    limit: PageSize = 100,
    page_token: Annotated[str, Query(max_length=256)] = "",
    stream: Annotated[str, Query(max_length=128, description="only of this stream, such as endpoint-ID")] = "",
    account: Annotated[str, Query(max_length=63, description="only what this account did")] = "",
    start: Annotated[AwareDatetime | None, Query(description="only from this moment on")] = None,
    end: Annotated[AwareDatetime | None, Query(description="only before this moment")] = None,
) -> Records:
    """Who did what, in order. For the operator."""
    request = log_pb2.ListRecordsRequest(
        page_size=limit,
        page_token=page_token,
        stream=stream,
        account=account,
        start_time=_timestamp(start, "start"),
        end_time=_timestamp(end, "end"),
    )
    answer = await caller.ask(caller.upstream.audits[log].ListRecords, request)
    return Records(records=[_record(record) for record in answer.records], next_page_token=answer.next_page_token)


@router.get("/{log}/refusals", operation_id="ListRefusals")
async def list_refusals(caller: Caller, log: Log, limit: PageSize = 100) -> Refusals:
    """The newest calls that a service has refused, oldest first. For the operator."""
    request = log_pb2.ListRefusalsRequest(page_size=limit)
    answer = await caller.ask(caller.upstream.audits[log].ListRefusals, request)
    return Refusals.model_validate(facts.of(answer))


@router.get("/{log}/state", operation_id="ShowProjectState")
async def show_project_state(
    *,
    caller: Caller,
    log: Log,
    account: Annotated[str, Query(pattern=Name)],
    project: Annotated[str, Query(pattern=Name)] = "default",
    position: Annotated[int, Query(ge=0, le=LAST, description="at this position; 0: at `time`, or now")] = 0,
    time: AwareDatetime | None = None,
) -> ProjectState:
    """All that a project had in a log at a place of it: any project for the operator, for others their own."""
    request = history_pb2.ReadStateRequest(
        position=position, time=_timestamp(time, "time"), owner=f"{account}/{project}"
    )
    header, owned = history_pb2.StateHeader(), list[Owned]()
    async for part in caller.stream(caller.upstream.pasts[log].ReadState, request):
        if part.HasField("header"):
            header = part.header
        owned += [_owned(state) for state in part.states]
    return ProjectState(log=log, log_id=header.log_id, epoch=header.epoch, position=header.position, resources=owned)


def _owned(state: history_pb2.ResourceState) -> Owned:
    resource: Message = getattr(state, str(state.WhichOneof("resource")))
    return Owned.model_validate(
        {"kind": state.kind, "id": state.id, "position": state.position, "resource": facts.of(resource)}
    )


def _record(record: log_pb2.LogRecord) -> Record:
    meta, moment = log_pb2.EventMeta.FromString(record.meta), Timestamp()
    moment.FromNanoseconds(record.recorded_at)
    return Record(
        position=record.position,
        time=moment.ToJsonString(),
        stream=record.stream,
        type=record.type,
        account=meta.account,
        project=meta.project,
        method=meta.method,
        request_id=meta.request_id,
        acting=meta.acting,
        access_key=meta.access_key,
        traceparent=meta.traceparent,
        hash=record.hash.hex(),
    )


def _timestamp(moment: AwareDatetime | None, name: str) -> Timestamp | None:
    """Raises Refused for a moment that is in the calendar where it was written, and beyond it in UTC."""
    if moment is None:
        return None
    timestamp = Timestamp()
    try:
        timestamp.FromDatetime(moment)
    except (OverflowError, ValueError):
        raise Refused("0002", f"{name}: a moment is in the years 1 to 9999 of UTC.") from None
    return timestamp
