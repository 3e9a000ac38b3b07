"""The relay: publishes a log to JetStream, whatever becomes of NATS and of the database in between."""

import asyncio
from contextlib import suppress
from typing import Protocol

import structlog

from services.common.eventsourcing.store import StoreError
from services.common.messaging import relay_metrics
from services.common.messaging.broker import JetStreamBroker, Outrun, Unanswered
from services.common.messaging.connection import Connection, Unsettled
from services.common.messaging.form import Form, SubjectOf
from services.common.messaging.publisher import Footing, Log, Publisher, Unpublishable
from services.common.messaging.stream import Topic

logger = structlog.get_logger(__name__)

RECHECK = 10.0
"""Seconds of quiet after which the stream is looked at again: it may have been deleted under a live connection, and
where it ends is to be written beside it before its last message grows too old."""

DOUBT = 3
"""Publications that nobody has answered, with a look at the stream in between, until it is made anew."""

LIVES = 4
"""How often at least it is looked at in the time that a message lives."""


class GrowingLog(Log, Protocol):
    """What a relay asks of an EventStore."""

    async def wait_beyond(self, position: int) -> None: ...


class Relay:
    """One relay of a log; any number may run.

    `form` is the service's, which knows what its events are about: what they are published as, or, where that is as
    they are, the subject of each. For `gather` seconds after the log has grown it waits for more, and lets others go
    first.
    """

    def __init__(
        self,
        log: GrowingLog,
        connection: Connection,
        topic: Topic,
        form: Form | SubjectOf,
        recheck: float = RECHECK,
        *,
        gather: float = 0.0,
    ) -> None:
        self._log = log
        self._connection = connection
        self._topic = topic
        self._publisher = Publisher(log, JetStreamBroker(connection, topic), topic, form)
        self._trouble = "it has not looked at the stream yet"
        self._position = 0
        self._moved = asyncio.Event()
        self._failures = self._unanswered = 0
        self._gather = gather
        self._recheck = min(recheck, topic.max_age / LIVES)

    @property
    def healthy(self) -> bool:
        """Whether all that the log held when it was last read is published or on its way."""
        return not self._trouble

    @property
    def trouble(self) -> str:
        """Why the relay is not healthy; empty if it is."""
        return self._trouble

    @property
    def position(self) -> int:
        """The position up to which the log is known to be in the stream of its present epoch."""
        return self._position

    async def published(self, position: int) -> None:
        """Returns when the log is published up to and with `position`."""
        while self._position < position:
            await self._moved.wait()

    async def run(self) -> None:
        """Publishes until cancelled."""
        while True:
            try:
                await self._follow()
            except Unanswered as error:
                self._fail(error)
                await self._doubt()
                await self._connection.pause(self._failures)
            except Outrun:  # another relay was faster: nothing is wrong
                await self._connection.pause(0)
            except (Unsettled, StoreError, Unpublishable) as error:
                self._fail(error)
                await self._connection.pause(self._failures)

    async def _doubt(self) -> None:
        """Gives a stream up that answers every question and takes no event: it has lost its disk for good.

        A server whose disk was full goes on like this when there is room again. What the stream holds is in the log.
        """
        self._unanswered += 1
        if self._unanswered >= DOUBT:
            self._unanswered = 0
            with suppress(Unsettled, StoreError):
                await self._publisher.give_up()

    async def _follow(self) -> None:
        """Publishes until there is a reason to look at the stream again."""
        changes = self._connection.changes
        relay_metrics.SETTLES.labels(self._topic.prefix).inc()
        footing = await self._publisher.settle()
        while True:
            # Before it waits: where it has to look again soon, waiting might be cut short before it sees anything.
            reached = await self._publisher.publish(footing)
            relay_metrics.PUBLISHED.labels(self._topic.prefix).inc(reached.position - footing.position)
            if reached is not footing:
                self._unanswered = 0
                self._failures = 0  # not earlier: two logs that fight over one stream both find their footing
            footing = reached
            self._stand(footing)
            try:
                async with self._connection.undisturbed(self._recheck, since=changes):
                    await self._log.wait_beyond(footing.position)
                    await asyncio.sleep(self._gather)
            except TimeoutError:
                return

    def _stand(self, footing: Footing) -> None:
        if self._trouble:
            logger.info("publishing", stream=footing.stream, position=footing.position)
        self._trouble = ""
        self._position = footing.position
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        relay_metrics.FAILURES.labels(self._topic.prefix).inc()
        trouble = str(error) or type(error).__name__
        if trouble != self._trouble:  # said once, not at every attempt
            self._trouble = trouble
            logger.warning("not publishing", topic=self._topic.program, why=trouble)
