"""The relay's steps: find out where the stream is, publish what comes next.

They keep nothing: the stream's last sequence is the checkpoint. A message at sequence p is event p or is not there,
because each publication demands that the stream is at p-1. So any step may be the last, answers may be lost, several
relays may run at once, and the stream may lose its tail or all of itself: the same steps publish what is missing.
Where an event is published as several messages, all of that is so of its place among them too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from services.common.eventsourcing.store import GENESIS, Head, RecordedEvent
from services.common.messaging import relay_metrics
from services.common.messaging.broker import Broker
from services.common.messaging.connection import Unsettled
from services.common.messaging.envelope import Message
from services.common.messaging.form import Form, SubjectOf, as_it_is
from services.common.messaging.stream import LogEpoch, StreamState, Topic
from services.common.messaging.verdict import Create, Fork, Sound, Survey, judge, newest
from sidegate.evidence import Link

logger = structlog.get_logger(__name__)

BATCH = 300
SINGLY = 3
"""An atomic batch is made durable once, but costs some milliseconds: it pays from the fourth message on."""

BATCH_BYTES = 4 * 1024 * 1024
FARTHEST = 1000
"""Epochs to pass over at most; a stream beyond that was not made by a relay."""


class Log(Protocol):
    """What the steps ask of an EventStore."""

    async def read(self, after: int, limit: int) -> Sequence[RecordedEvent]: ...
    async def head(self) -> Head: ...
    async def begin_epoch(self, epoch: int) -> Head: ...


class Unpublishable(Exception):
    """An event that cannot be made a message. It is never passed over: what comes after it waits."""


@dataclass(frozen=True, slots=True)
class Footing:
    """A stream known to hold the log up to a position, and the hash of the event there.

    `sequence` is that of its last message; the hash is of the event that this one is of.
    """

    log: LogEpoch
    stream: str
    position: int
    hash: bytes
    sequence: int


class Publisher:
    """Waits for nothing but the log and the broker."""

    def __init__(self, log: Log, broker: Broker, topic: Topic, form: Form | SubjectOf) -> None:
        self._log = log
        self._broker = broker
        self._topic = topic
        self._form = form if isinstance(form, Form) else as_it_is(form)

    async def settle(self) -> Footing:
        """Looks until stream and log agree, making or replacing the stream where that is needed."""
        while True:
            survey = await self._survey()
            match judge(survey):
                case Sound(epoch, last, hash_, witnessed):
                    footing = Footing(epoch, self._topic.stream(epoch.epoch), self._form.whole(last), hash_, last)
                    if not witnessed:
                        await self._bear_witness(footing)
                    return footing
                case Fork(beyond, why):
                    await self._begin_epoch(beyond, why)
                case Create() as create:
                    await self._create(create)

    async def publish(self, footing: Footing) -> Footing:
        """Publishes what the log has next; gives the same footing if that is nothing."""
        for chunk in chunks(await self._log.read(footing.position, BATCH)):
            footing = await self._publish(footing, chunk)
        return footing

    async def give_up(self) -> None:
        """Deletes the stream of the log's present epoch, to be made again with all that the log has."""
        stream = self._topic.stream((await self._log.head()).epoch)
        logger.error("a stream takes nothing, making it anew", stream=stream)
        await self._broker.delete(stream)

    async def _publish(self, footing: Footing, events: Sequence[RecordedEvent]) -> Footing:
        made = self._messages(footing, events)
        last = events[len(made) - 1]
        # A stream that lost its tail may end within an event.
        there = footing.sequence - footing.position * self._form.messages
        messages = [message for of_event in made for message in of_event][there:]
        given = await self._sent(footing, messages)
        if given != last.position * self._form.messages:
            raise Unsettled(f"the stream gave sequence {given} to event {last.position}")
        return Footing(footing.log, footing.stream, last.position, last.hash, given)

    async def _sent(self, footing: Footing, messages: Sequence[Message]) -> int:
        """Gives the sequence of the last one."""
        if len(messages) > SINGLY:
            return await self._broker.publish(footing.stream, footing.sequence, messages)
        given = footing.sequence
        for message in messages:
            given = await self._broker.publish(footing.stream, given, [message])
        return given

    def _messages(self, footing: Footing, events: Sequence[RecordedEvent]) -> Sequence[Sequence[Message]]:
        """The events as messages, up to one that cannot be; raises Unpublishable if that is the first."""
        made: list[Sequence[Message]] = []
        previous = footing.hash
        for event in events:
            if event.position != footing.position + len(made) + 1:
                raise Unsettled(f"the log has no event {footing.position + len(made) + 1}")
            try:
                made.append(self._form.of(event, footing.log, previous))
            except Exception as error:
                if made:
                    break
                what = f"event {event.position} ({event.type} of {event.stream})"
                raise Unpublishable(f"{what} cannot be published: {error}") from error
            previous = event.hash
        return made

    async def _survey(self) -> Survey:
        streams = await self._broker.streams()
        stream = newest(streams)
        last = stream.last if stream else 0
        published, witness = await self._end(stream) if stream and last else (None, None)
        head = await self._log.head()
        return Survey(streams, published, witness, head, await self._recorded(self._form.at(last)))

    async def _end(self, stream: StreamState) -> tuple[bytes | None, Link | None]:
        """What a stream has last, and what is written beside it; in this order, for the message goes first."""
        published = await self._broker.hash_at(stream.name, stream.last)
        witness = await self._broker.witness(stream.name)
        if published is None and await self._has_changed(stream):
            raise Unsettled(f"{stream.name} has changed while it was looked at")
        return published, witness

    async def _has_changed(self, stream: StreamState) -> bool:
        """Whether it has grown, or was deleted and made again, since it was without its last message."""
        if newest(await self._broker.streams()) != stream:
            return True
        return await self._broker.hash_at(stream.name, stream.last) is not None

    async def _recorded(self, position: int) -> bytes | None:
        if position == 0:
            return GENESIS
        events = await self._log.read(position - 1, 1)
        return events[0].hash if events else None

    async def _bear_witness(self, footing: Footing) -> None:
        """Publishing does not depend on it: without it, a stream that grows too old while no relay runs is replaced."""
        try:
            await self._broker.bear_witness(footing.stream, Link(footing.sequence, footing.hash))
        except Unsettled as error:
            logger.warning("cannot write beside the stream where it is", stream=footing.stream, why=str(error))

    async def _begin_epoch(self, beyond: int, why: str) -> None:
        head = await self._log.head()
        if beyond - head.epoch > FARTHEST:
            raise Unsettled(f"{self._topic.stream(beyond)} is no stream of this log (epoch {head.epoch}): delete it")
        while head.epoch <= beyond:
            head = await self._log.begin_epoch(head.epoch)
        relay_metrics.FORKS.labels(self._topic.prefix).inc()
        logger.error("the log has forked: it was restored, or the stream is another's", why=why, epoch=head.epoch)

    async def _create(self, create: Create) -> None:
        for stream in create.retire:
            await self._broker.retire(stream)
        for stream in create.delete:
            await self._broker.delete(stream)
        await self._broker.create(create.log)
        logger.info("made a stream", stream=self._topic.stream(create.log.epoch), retired=create.retire)


def chunks(events: Sequence[RecordedEvent]) -> Iterator[Sequence[RecordedEvent]]:
    """How events are published: a few one by one, more as batches of at most BATCH_BYTES."""
    start, size = 0, 0
    for index, event in enumerate(events):
        length = len(event.data) + len(event.meta)
        if index > start and (len(events) <= SINGLY or size + length > BATCH_BYTES):
            yield events[start:index]
            start, size = index, 0
        size += length
    if events:
        yield events[start:]
