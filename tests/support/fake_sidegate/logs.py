"""An event log that can be read, with a true hash chain."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from google.protobuf.message import Message

from sidegate.api.events.v1 import log_pb2, log_pb2_grpc
from sidegate.evidence import GENESIS, Link, RecordedEvent, link_hash
from sidegate.signed_heads import SigningKey
from tests.support.fake_sidegate.shelf import LOOK_SECONDS, Context, page


class FakeLog(log_pb2_grpc.AuditServiceServicer):
    """A log with a true hash chain."""

    def __init__(self, name: str) -> None:
        self.name, self.log_id = name, str(uuid4())
        self.records: list[log_pb2.LogRecord] = []
        self.refusals: list[log_pb2.Refusal] = []
        self.key: SigningKey | None = SigningKey.new()

    def append(self, stream: str, type_: str, event: Message, *, at: int, who: str = "shop", method: str = "") -> None:
        meta = log_pb2.EventMeta(account=who, project="default", method=method, request_id="r-1")
        before = self.records[-1] if self.records else None
        columns = RecordedEvent(
            position=len(self.records) + 1,
            stream=stream,
            version=1 + sum(each.stream == stream for each in self.records),
            event_id=UUID(int=len(self.records)).bytes,
            type=type_,
            schema_version=1,
            recorded_at=at,
            partition="",
            prev=len(self.records),
            data=event.SerializeToString(deterministic=True),
            meta=meta.SerializeToString(deterministic=True),
            hash=b"",
        )
        link = link_hash(self.log_id, before.hash if before else GENESIS, columns)
        self.records.append(log_pb2.LogRecord(**columns._replace(hash=link)._asdict()))

    async def GetHead(self, request: log_pb2.GetHeadRequest, context: Context) -> log_pb2.GetHeadResponse:
        last = self.records[-1] if self.records else log_pb2.LogRecord(hash=GENESIS)
        answer = log_pb2.GetHeadResponse(
            log=self.name, log_id=self.log_id, epoch=1, position=last.position, hash=last.hash
        )
        if self.key is not None:
            answer.public_key = self.key.public.pem
            signed = self.key.sign(self.name, self.log_id, 1, Link(last.position, last.hash), at=1)
            answer.signed = signed.line if last.position else b""
        return answer

    async def ListRecords(self, request: log_pb2.ListRecordsRequest, context: Context) -> log_pb2.ListRecordsResponse:
        wanted = [each for each in self.records if self._fits(each, request)]
        records, token = page(wanted, request)
        return log_pb2.ListRecordsResponse(records=records, next_page_token=token)

    async def ListRefusals(self, request: log_pb2.ListRefusalsRequest, context: Context) -> Any:
        return log_pb2.ListRefusalsResponse(refusals=self.refusals[-(request.page_size or 100) :])

    async def ReadLog(self, request: log_pb2.ReadLogRequest, context: Context) -> Any:
        for record in self.records[request.after : request.through or None]:
            yield record

    async def FollowLog(self, request: log_pb2.FollowLogRequest, context: Context) -> Any:
        after = request.after if request.HasField("after") else len(self.records)
        while True:
            for record in self.records[after:]:
                after = record.position
                yield log_pb2.FollowLogResponse(position=after, log_id=self.log_id, epoch=1, records=[record])
            await asyncio.sleep(LOOK_SECONDS)  # the test appends from another thread

    def _fits(self, record: log_pb2.LogRecord, request: log_pb2.ListRecordsRequest) -> bool:
        account = log_pb2.EventMeta.FromString(record.meta).account
        since = request.start_time.ToNanoseconds()
        return (
            request.stream in ("", record.stream) and request.account in ("", account) and record.recorded_at >= since
        )
