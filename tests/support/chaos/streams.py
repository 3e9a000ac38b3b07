"""JetStream, as an operator or time itself changes it."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from services.common.messaging.broker import JetStreamBroker
from services.common.messaging.connection import Connection, Unsettled
from services.common.messaging.stream import StreamState, Topic
from tests.support.nats import DEADLINE, within

OLD = 0.2
"""Seconds after which a message is too old, while messages are to grow old."""


class Streams:
    """The streams of one log. Whatever NATS does not answer is asked again, until a deadline."""

    def __init__(self, connection: Connection, topic: Topic) -> None:
        self._connection, self._topic = connection, topic
        self._broker = JetStreamBroker(connection, topic)

    async def there(self) -> Sequence[StreamState]:
        return await self._broker.streams()

    async def witnessed(self, position: int, seconds: float = DEADLINE) -> None:
        """Returns when the live stream ends at a position and its witness says so."""

        async def is_so() -> bool:
            with suppress(Unsettled):
                live = [stream.name for stream in await self.there() if stream.live and stream.last == position]
                links = [await self._broker.witness(name) for name in live]
                return any(link and link.position == position for link in links)
            return False

        await within(is_so, seconds)

    async def shorten_life(self) -> None:
        """What the streams hold is soon too old, and so is what comes, until `lengthen_life`."""
        await within(partial(self._have_life, OLD))

    async def lengthen_life(self) -> None:
        """Messages live as long again as they should."""
        await within(partial(self._have_life, self._topic.max_age))

    async def grow_old(self) -> None:
        """As after a quiet week: no message is left in any stream. Nothing is published meanwhile."""
        await self.shorten_life()
        await within(self._are_empty)
        await self.lengthen_life()

    async def _have_life(self, seconds: float) -> bool:
        with suppress(Unsettled):
            return all([await self._has_life(state.name, seconds) for state in await self.there()])
        return False

    async def _has_life(self, stream: str, seconds: float) -> bool:
        """Whether it had it before; then it was not made anew with another one just now."""
        async with self._connection.exchange() as jetstream:
            config = (await jetstream.stream_info(stream)).config
            if config.max_age != seconds:
                await jetstream.update_stream(config.evolve(max_age=seconds, duplicate_window=OLD))
            return config.max_age == seconds

    async def _are_empty(self) -> bool:
        with suppress(Unsettled):
            for state in await self.there():
                async with self._connection.exchange() as jetstream:
                    if (await jetstream.stream_info(state.name)).state.messages:
                        return False
            return True
        return False
