"""Another program's log, followed: by NATS, with a look at the log itself now and then."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Protocol

from services.common.eventsourcing.store import Head, RecordedEvent
from services.common.messaging.connection import Connection
from services.common.messaging.stream import LogEpoch, Topic
from services.common.messaging.subjects import Selection
from services.common.messaging.subscription import Gap, LogChanged, Subscription
from sidegate.evidence import Link

LOOK = 10.0
"""Seconds between two looks at the log itself; it is looked at too before anything counts that comes after NATS was
lost, since one cell's events show no break where another history begins. NATS alone cannot tell of a log that was
restored while the streams were lost, nor of one that is at an earlier epoch than we have heard of."""


class OwnerAway(Exception):
    """The log's owner does not answer."""


class Owner(Protocol):
    """The log itself. Raises OwnerAway."""

    async def head(self) -> Head:
        """Its end."""

    async def read(self, after: int, upto: int) -> Sequence[RecordedEvent]:
        """What is wanted of it with after < position <= upto, in order: all of it, or the first of it."""


class Followed:
    """A subscription to what comes after a place in a log.

    It raises LogChanged and Gap as a Subscription does, and LogChanged when the log itself has not got what was heard.
    `since` is where one is: at an event that is followed, or with an empty hash.
    """

    def __init__(
        self,
        connection: Connection,
        topic: Topic,
        selection: Selection,
        owner: Owner,
        *,
        since: Head,
        look: float = LOOK,
    ) -> None:
        self._subscription = Subscription(
            connection,
            topic,
            selection,
            after=since.position,
            gap_fill=owner.read,
            log=LogEpoch(since.log_id, since.epoch),
            hash_=since.hash or None,
        )
        self._owner = owner
        self._since = since
        self._look = look
        self._heard = Link(since.position, since.hash)
        self._trusted = 0  # the binding of the subscription since which the log was seen to have what was heard

    async def events(self) -> AsyncGenerator[RecordedEvent, None]:
        """The events, for ever. Close it; it can be had once."""
        async with self._subscription, aclosing(self._compared()) as events:
            async for event in events:
                yield event

    async def _compared(self) -> AsyncGenerator[RecordedEvent, None]:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._look
        following: asyncio.Future[RecordedEvent] = asyncio.ensure_future(self._next())
        try:
            while True:
                await asyncio.wait([following], timeout=max(0.0, due - loop.time()))
                if loop.time() >= due:
                    await self._compare()
                    due = loop.time() + self._look
                if following.done():
                    event = await self._result(following)
                    if self._trusted != self._subscription.binds:
                        await self._compare()
                    if self._trusted == self._subscription.binds:
                        self._heard = Link(event.position, event.hash)
                    yield event
                    following = asyncio.ensure_future(self._next())
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await following

    async def _result(self, following: asyncio.Future[RecordedEvent]) -> RecordedEvent:
        try:
            return following.result()
        except Gap:
            await self._compare()  # what is missing may be of a history that is no more
            raise

    async def _next(self) -> RecordedEvent:
        return await anext(self._subscription)

    async def _compare(self) -> None:
        """Looks whether the log is still the one that was heard. One that does not answer is asked again later."""
        with suppress(OwnerAway):
            binding = self._subscription.binds
            head, heard = await self._owner.head(), self._heard
            if (head.log_id, head.epoch) != (self._since.log_id, self._since.epoch):
                raise LogChanged(head.log_id, head.epoch)
            if head.position < heard.position or not await self._has(heard):
                raise LogChanged(head.log_id, head.epoch, f"it has not got event {heard.position} as it was heard")
            self._trusted = binding

    async def _has(self, heard: Link) -> bool:
        """Whether the log has the event that was heard last; so it is taken to be where its hash is not known."""
        if not heard.position or not heard.hash:
            return True
        events = await self._owner.read(heard.position - 1, heard.position)
        return [event.hash for event in events] == [heard.hash]
