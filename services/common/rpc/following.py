"""Another service's log, followed: by NATS, and by gRPC where NATS has a hole or may be mistaken."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

from services.common.errors import Unavailable
from services.common.eventsourcing.store import Head, RecordedEvent
from services.common.messaging.connection import Connection
from services.common.messaging.following import LOOK, Followed, OwnerAway
from services.common.messaging.stream import Topic
from services.common.messaging.subjects import everything
from services.common.messaging.subscription import Gap, LogChanged
from services.common.rpc.records import to_recorded_event
from sidegate.api.events.v1 import log_pb2
from sidegate.api.events.v1.log_pb2_grpc import AuditServiceStub
from sidegate.errors import SidegateError
from sidegate.transport import Caller

FILL = 1000
"""Events that one filling of a gap takes at most."""


class Follow(Protocol):
    """A log that can be followed. Raises Unavailable where it cannot go on: begin again, with a new head."""

    async def head(self) -> Head:
        """The log's end: which log it is, and where."""

    def events(self, since: Head) -> AsyncGenerator[RecordedEvent, None]:
        """The events after a place in the log, for ever; the hash of the place is empty if it is not known."""


class RemoteLog:
    """The log of another program, read through its audit service."""

    def __init__(self, caller: Caller) -> None:
        self._stub = AuditServiceStub(caller.channel)
        self._caller = caller

    async def head(self) -> Head:
        try:
            head = await self._caller.ask(self._stub.GetHead, log_pb2.GetHeadRequest())
        except SidegateError as error:
            raise OwnerAway(str(error)) from error
        return Head(head.log_id, head.epoch, head.position, head.hash)

    async def read(self, after: int, upto: int) -> Sequence[RecordedEvent]:
        """Events with after < position <= upto, the first thousand of them."""
        request = log_pb2.ReadLogRequest(after=after, through=min(upto, after + FILL))
        try:
            return [to_recorded_event(record) async for record in self._caller.stream(self._stub.ReadLog, request)]
        except SidegateError as error:
            raise OwnerAway(str(error)) from error


class FollowRemote:
    """The log of `topic`, whose owner is at `caller`, looked at every `look` seconds."""

    def __init__(self, connection: Connection, topic: Topic, caller: Caller, look: float = LOOK) -> None:
        self._connection, self._topic, self._look = connection, topic, look
        self._remote = RemoteLog(caller)

    async def head(self) -> Head:
        try:
            return await self._remote.head()
        except OwnerAway as error:
            raise self._interrupted(error) from error

    async def events(self, since: Head) -> AsyncGenerator[RecordedEvent, None]:
        selection = everything(self._topic.program)
        try:
            followed = Followed(self._connection, self._topic, selection, self._remote, since=since, look=self._look)
            async with aclosing(followed.events()) as events:
                async for event in events:
                    yield event
        except (Gap, LogChanged, OwnerAway) as error:
            raise self._interrupted(error) from error

    def _interrupted(self, error: Exception) -> Unavailable:
        return Unavailable("LOG_INTERRUPTED", f"the {self._topic.program}'s log cannot be followed: {error}")
