"""JetStream, as an operator or time itself changes it."""

from collections.abc import Sequence
from contextlib import suppress

from nats.js.errors import NotFoundError

from services.common.messaging.broker import JetStreamBroker
from services.common.messaging.connection import Connection, Unsettled
from services.common.messaging.stream import StreamState, Topic
from tests.support.nats import within

OLD = 0.2
"""Seconds after which a message is too old, while messages are to grow old."""


class Streams:
    """The streams of one log. Whatever NATS does not answer is asked again, until a deadline."""

    def __init__(self, connection: Connection, topic: Topic) -> None:
        self._connection, self._topic = connection, topic
        self._broker = JetStreamBroker(connection, topic)

    async def there(self) -> Sequence[StreamState]:
        return await self._broker.streams()

    async def witnessed(self, position: int) -> None:
        """Returns when the live stream ends at a position and its witness says so."""

        async def is_so() -> bool:
            with suppress(Unsettled):
                live = [stream.name for stream in await self.there() if stream.live and stream.last == position]
                links = [await self._broker.witness(name) for name in live]
                return any(link and link.position == position for link in links)
            return False

        await within(is_so)

    async def shorten_life(self) -> None:
        """What the streams hold now is soon too old."""
        for state in await self.there():
            await self._too_old(state.name)

    async def grow_old(self) -> None:
        """As after a quiet week: no message is left in any stream, and their configuration is as before."""
        await within(self._all_too_old)

    async def _all_too_old(self) -> bool:
        try:
            return all([await self._too_old(state.name) for state in await self.there()])
        except (Unsettled, NotFoundError):
            return False

    async def _too_old(self, stream: str) -> bool:
        async with self._connection.exchange() as jetstream:
            info = await jetstream.stream_info(stream)
            if info.state.messages == 0:
                if info.config.max_age == OLD:
                    config = info.config.evolve(max_age=self._topic.max_age)
                    await jetstream.update_stream(config)
                return True
            if info.config.max_age != OLD:
                await jetstream.update_stream(info.config.evolve(max_age=OLD, duplicate_window=OLD))
            return False
