"""Following a log: its events in order, each once, none missing, across restarts of everything on the way."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

import structlog
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from services.common.eventsourcing.store import GENESIS, RecordedEvent
from services.common.messaging import metrics
from services.common.messaging.connection import Connection, Unsettled
from services.common.messaging.envelope import NotAnEvent, from_message
from services.common.messaging.pull import Pull
from services.common.messaging.sequencer import Gap, Sequencer
from services.common.messaging.stream import LogEpoch, StreamState, Topic, log_of
from services.common.messaging.subjects import Selection
from sidegate.evidence import link_hash

__all__ = ["Gap", "GapFill", "LogChanged", "Subscription"]

logger = structlog.get_logger(__name__)

GapFill = Callable[[int, int], Awaitable[Sequence[RecordedEvent]]]
"""Reads events with after < position <= upto from the log's owner, in order: all of them, or the first of them."""


class LogChanged(Exception):
    """The log is another one, or goes on from an older state: what was heard may not be so. Begin anew.

    `log_id` and `epoch` are those of the present log, as far as they are known.
    """

    def __init__(self, log_id: str, epoch: int, why: str = "") -> None:
        super().__init__(f"the log is now {log_id}, epoch {epoch}" + (f": {why}" if why else ""))
        self.log_id, self.epoch = log_id, epoch


class Subscription:
    """The events above `after`, as an async iterator; leave it with `async with` or `aclose`.

    `log` is the log that `after` is a position of; None adopts the one that is there. A gap is filled by `gap_fill`.
    LogChanged and Gap end nothing: iterating on tries again.

    Of a whole log each event has to follow the one before it by its hash, the first that of `after` where it is given:
    a log that was restored while NATS lost all it knew has the same name, but other events.

    `consumer` is one that the control plane has made for us in the stream of `log`; without it, it makes its own.
    """

    def __init__(
        self,
        connection: Connection,
        topic: Topic,
        selection: Selection,
        *,
        after: int,
        gap_fill: GapFill,
        log: LogEpoch | None = None,
        hash_: bytes | None = None,
        consumer: str = "",
    ) -> None:
        self._connection = connection
        self._topic = topic
        self._selection = selection
        self._gap_fill = gap_fill
        self._log = log
        self._consumer = consumer
        self._hash = GENESIS if after == 0 else hash_
        self._sequencer = Sequencer(after, selection.partition)
        self._position = after
        self._pull: Pull | None = None
        self._failures = 0
        self._idle = asyncio.Event()
        self.binds = 0
        """How often it has found the stream: when it finds it again, all in it may have been made anew."""

    @property
    def position(self) -> int:
        """The position of the last event given, or where the subscription began."""
        return self._position

    @property
    def log(self) -> LogEpoch | None:
        """The log that is followed; None until one was found."""
        return self._log

    @property
    def caught_up(self) -> bool:
        """Whether all that the server had was given, and the one who iterates has come back for more."""
        return self._idle.is_set()

    @property
    def pending(self) -> int:
        """How many events the server has beyond those that have arrived; 0 while it is looked for."""
        return self._pull.pending if self._pull else 0

    async def wait_caught_up(self) -> None:
        """Returns when it is caught up; something must be iterating meanwhile."""
        await self._idle.wait()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RecordedEvent:
        ready = self._sequencer.ready
        while not ready:
            try:
                await self._step()
                self._failures = 0
            except Unsettled as error:
                await self._lose(error)
        self._check_chain(ready[0])
        event = ready.popleft()
        self._position, self._hash = event.position, event.hash
        return event

    async def aclose(self) -> None:
        self._idle.clear()
        pull, self._pull = self._pull, None
        if pull is not None:
            await pull.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _step(self) -> None:
        """One step towards the next event."""
        if hole := self._sequencer.hole:
            await self._fill(*hole)
        elif self._pull is None:
            self._pull = await self._bind()
        else:
            await self._receive(self._pull)

    async def _bind(self) -> Pull:
        pull = await (self._bind_given(self._log) if self._consumer and self._log else self._bind_own())
        self._sequencer.miss(pull.start)
        self.binds += 1
        return pull

    async def _bind_given(self, log: LogEpoch) -> Pull:
        name = self._topic.stream(log.epoch)
        pull = Pull(self._connection, name, self._selection.subject, self._consumer)
        try:
            await pull.open(self._sequencer.position)
            self._check_given(name, log, log_of(pull.about))
        except BaseException:
            await pull.close()
            raise
        return pull

    @staticmethod
    def _check_given(name: str, wanted: LogEpoch, found: LogEpoch | None) -> None:
        if found != wanted:
            raise Unsettled(f"{name} is of another log")

    async def _bind_own(self) -> Pull:
        async with self._connection.exchange() as jetstream:
            try:
                name = await jetstream.find_stream_name_by_subject(self._selection.subject)
            except NotFoundError as error:
                raise Unsettled(f"there is no stream of {self._topic.program} yet") from error
        pull = Pull(self._connection, name, self._selection.subject)
        try:
            await pull.open(self._sequencer.position)
            async with self._connection.exchange() as jetstream:
                self._check(name, self._topic.state(await jetstream.stream_info(name)))
        except BaseException:
            await pull.close()
            raise
        return pull

    def _check(self, name: str, state: StreamState | None) -> None:
        # After the consumer was made and not before: a stream that is retired later takes its consumers along.
        if state is None or not state.live:
            raise Unsettled(f"{name} is not the stream of {self._topic.program}")
        if self._log is None:
            self._log = state.log
        elif state.log.epoch < self._log.epoch:
            raise Unsettled(f"{name} is yet to be replaced")
        elif state.log != self._log:
            raise LogChanged(state.log.log_id, state.log.epoch)

    def _check_chain(self, event: RecordedEvent) -> None:
        if self._selection.partition is not None or self._log is None or self._hash is None:
            return
        if link_hash(self._log.log_id, self._hash, event) != event.hash:
            why = f"event {event.position} does not follow what was heard before"
            raise LogChanged(self._log.log_id, self._log.epoch, why)

    async def _receive(self, pull: Pull) -> None:
        if pull.idle:
            self._idle.set()
        message = await pull.next()
        self._idle.clear()
        metrics.SUBSCRIPTION_LAG.labels(self._topic.program).set(pull.pending)
        position = message.metadata.sequence.stream
        try:
            self._sequencer.take(self._read(position, message))
        except NotAnEvent as error:
            logger.warning("a message is not the relay's", topic=self._topic.program, why=str(error))
            self._sequencer.miss(position)

    def _read(self, position: int, message: Msg) -> RecordedEvent:
        publication = from_message(position, message.headers, message.data)
        if publication.log != self._log:
            raise NotAnEvent(f"the message at {position} is of another log")
        return publication.event

    async def _fill(self, after: int, upto: int) -> None:
        metrics.GAPS.labels(self._topic.program).inc()
        logger.info("filling a gap", topic=self._topic.program, after=after, upto=upto)
        try:
            events = await self._gap_fill(after, upto)
        except Exception as error:
            raise Gap(after, upto) from error
        self._sequencer.fill(events)

    async def _lose(self, error: Unsettled) -> None:
        await self.aclose()
        self._failures += 1
        metrics.SUBSCRIPTION_LOST.labels(self._topic.program).inc()
        if self._failures == 1:  # said once, not at every attempt
            logger.warning("lost the stream, looking for it", topic=self._topic.program, why=str(error))
        await self._connection.pause(self._failures)
