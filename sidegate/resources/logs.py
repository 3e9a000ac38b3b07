"""The event logs as the operator reads them."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from enum import StrEnum

from google.protobuf.timestamp_pb2 import Timestamp

from sidegate.api.events.v1 import log_pb2 as rpc
from sidegate.api.events.v1.log_pb2_grpc import AuditServiceStub
from sidegate.transport import Caller
from sidegate.watching import Begin, Interrupted, Place, Watch


class LogName(StrEnum):
    REGISTRY = "registry"
    ENDPOINT = "endpoint"


class Log:
    """One program's event log."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._stub = caller, AuditServiceStub(caller.channel)

    async def head(self) -> rpc.GetHeadResponse:
        return await self._caller.ask(self._stub.GetHead, rpc.GetHeadRequest())

    async def refused(self, limit: int) -> Sequence[rpc.Refusal]:
        """The newest calls that this program has refused, oldest first; 1000 at most."""
        return (await self._caller.ask(self._stub.ListRefusals, rpc.ListRefusalsRequest(page_size=limit))).refusals

    async def list(
        self, *, stream: str = "", account: str = "", start: Timestamp | None = None, end: Timestamp | None = None
    ) -> AsyncIterator[rpc.LogRecord]:
        """The records that fit, in order."""
        request = rpc.ListRecordsRequest(stream=stream, account=account, start_time=start, end_time=end)
        async for page in self._caller.pages(self._stub.ListRecords, request):
            for record in page.records:
                yield record

    async def read(self, after: int = 0, through: int = 0) -> AsyncIterator[rpc.LogRecord]:
        """All records above `after` and up to `through` (0: to the end as it is now), in order."""
        async for record in self._caller.stream(self._stub.ReadLog, rpc.ReadLogRequest(after=after, through=through)):
            yield record

    def follow(self, *, after: Begin = None, interrupted: Interrupted | None = None) -> Watch[rpc.FollowLogResponse]:
        """Records as they are appended, those of one command in one answer."""

        def ask(place: Place) -> AsyncGenerator[rpc.FollowLogResponse, None]:
            request = rpc.FollowLogRequest(after=place.after, log_id=place.log_id, epoch=place.epoch)
            return self._caller.stream(self._stub.FollowLog, request)

        return Watch(ask, after, interrupted)


class Audit:
    """The logs of a region: the registry's and the endpoint service's."""

    def __init__(self, registry: Caller, endpoint: Caller) -> None:
        self._logs = {LogName.REGISTRY: Log(registry), LogName.ENDPOINT: Log(endpoint)}

    def log(self, name: LogName) -> Log:
        return self._logs[name]
