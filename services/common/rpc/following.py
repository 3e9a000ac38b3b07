"""Another service's log, followed: by NATS, and by gRPC where NATS has a hole."""

from collections.abc import AsyncIterator, Callable, Sequence

from services.common.errors import Unavailable
from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging.connection import Connection
from services.common.messaging.stream import Topic
from services.common.messaging.subjects import everything
from services.common.messaging.subscription import Gap, LogChanged, Subscription
from services.common.rpc.records import to_recorded_event
from sidegate.api.events.v1 import log_pb2
from sidegate.api.events.v1.log_pb2_grpc import AuditServiceStub
from sidegate.errors import SidegateError
from sidegate.transport import Caller

FILL = 1000
"""Events that one filling of a gap takes at most."""

Follow = Callable[[int], AsyncIterator[RecordedEvent]]
"""The events above a position, for ever. Raises Unavailable where it cannot go on: begin again."""


class RemoteLog:
    """The log of another program, read through its audit service."""

    def __init__(self, caller: Caller) -> None:
        self._stub = AuditServiceStub(caller.channel)
        self._caller = caller

    async def read(self, after: int, upto: int) -> Sequence[RecordedEvent]:
        """Events with after < position <= upto, the first thousand of them."""
        request = log_pb2.ReadLogRequest(after=after, through=min(upto, after + FILL))
        return [to_recorded_event(record) async for record in self._caller.stream(self._stub.ReadLog, request)]


def follow(connection: Connection, topic: Topic, caller: Caller) -> Follow:
    """How to follow the log of `topic`, whose owner is at `caller`."""
    remote = RemoteLog(caller)

    async def events(after: int) -> AsyncIterator[RecordedEvent]:
        selection = everything(topic.program)
        try:
            async with Subscription(connection, topic, selection, after=after, gap_fill=remote.read) as subscription:
                async for event in subscription:
                    yield event
        except (Gap, LogChanged, SidegateError) as error:
            raise Unavailable("LOG_INTERRUPTED", f"the {topic.program}'s log cannot be followed: {error}") from error

    return events
