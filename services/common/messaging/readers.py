"""Consumers for those who may not make them: one for each reader, in the live stream of a topic, and no others."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo
from nats.js.errors import NotFoundError

from services.common.eventsourcing.store import StoreError
from services.common.messaging.broker import PAGE
from services.common.messaging.connection import Connection, Unsettled
from services.common.messaging.stream import StreamState, Topic, metadata_of
from services.common.messaging.verdict import newest

logger = structlog.get_logger(__name__)

LOOK = 5.0
"""Seconds between two looks: a stream may be made again, with nothing of ours, under a live connection."""

INACTIVE = 7 * 86400.0
"""Seconds after which the server drops a consumer that nobody reads from; who may read is given another."""


async def live(connection: Connection, *topics: Topic) -> dict[Topic, StreamState]:
    """The streams that take these topics' subjects now, as far as there are any. Raises Unsettled."""
    infos: list[StreamInfo] = []
    async with connection.exchange() as jetstream:
        while page := await jetstream.streams_info(offset=len(infos)):
            infos += page
            if len(page) < PAGE:
                break
    last = {topic: newest([state for info in infos if (state := topic.state(info)) is not None]) for topic in topics}
    return {topic: stream for topic, stream in last.items() if stream is not None and stream.live}


async def keep(connection: Connection, stream: StreamState, prefix: str, readers: Mapping[str, str]) -> None:
    """Makes the readers' consumers that are missing, and deletes those of nobody.

    `readers` are the names of the consumers, which all begin with the prefix, and what each delivers. Raises Unsettled.
    """
    found = await _consumers(connection, stream.name)
    there = {name: subject for name, subject in found.items() if name.startswith(prefix)}
    for name, subject in there.items():
        if readers.get(name) != subject:
            await _delete(connection, stream.name, name)
    for name, subject in readers.items():
        if there.get(name) != subject:
            await _make(connection, stream, name, subject)


async def _consumers(connection: Connection, stream: str) -> dict[str, str]:
    found: dict[str, str] = {}
    async with connection.exchange() as jetstream:
        with suppress(NotFoundError):
            while page := await jetstream.consumers_info(stream, offset=len(found)):
                found |= {info.name: info.config.filter_subject or "" for info in page}
                if len(page) < PAGE:
                    break
    return found


async def _make(connection: Connection, stream: StreamState, name: str, subject: str) -> None:
    # Nothing is acknowledged: a reader keeps its own position, and moves the consumer there whenever it begins.
    config = ConsumerConfig(
        name=name,
        durable_name=name,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.NONE,
        filter_subject=subject,
        inactive_threshold=INACTIVE,
        metadata=metadata_of(stream.log),
    )
    async with connection.exchange() as jetstream:
        await jetstream.add_consumer(stream.name, config)
    logger.info("made a consumer", stream=stream.name, consumer=name, subject=subject)


async def _delete(connection: Connection, stream: str, name: str) -> None:
    async with connection.exchange() as jetstream:
        with suppress(NotFoundError):
            await jetstream.delete_consumer(stream, name)
    logger.info("deleted a consumer", stream=stream, consumer=name)


class Round:
    """Does its rounds: after each change of the connection, when it is nudged, and now and then."""

    def __init__(self, go: Callable[[Connection], Awaitable[bool]], look: float = LOOK) -> None:
        """`go` says whether all is done that is to be done; raises Unsettled and StoreError where it could not be."""
        self._go = go
        self.look = look
        self._news = asyncio.Event()

    def nudge(self) -> None:
        """There is news: the next round is now."""
        self._news.set()

    async def run(self, connection: Connection) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            self._news.clear()
            changes = connection.changes
            try:
                done = await self._go(connection)
            except (Unsettled, StoreError) as error:
                done = False
                if failures == 0:  # said once, not at every attempt
                    logger.warning("readers of NATS are not served yet", why=str(error))
            if not done:
                await connection.pause(failures)
                failures += 1
                continue
            failures = 0
            with suppress(TimeoutError):
                async with connection.undisturbed(self.look, since=changes):
                    await self._news.wait()
