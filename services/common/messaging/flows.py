"""Flow records on NATS: a stream of their own, which forgets the oldest, and who publishes there."""

from collections.abc import Sequence
from dataclasses import replace

import structlog
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from services.common.messaging.connection import Connection, Unsettled
from services.common.messaging.readers import Round
from services.common.messaging.stream import LogEpoch, Topic

DAY = 86400.0
LARGEST_BYTES = 1024 * 1024 * 1024
ONLY_EPOCH = 1
"""Flows are no log: a restored database does not unsay what has passed."""

FLOWS = Topic("FLOW", "flow", max_age=DAY, taken=("sidegate.v1.*.flow.*",))

logger = structlog.get_logger(__name__)


class FlowStream(Round):
    """Keeps the stream there, and publishes. `log_id` only names in its metadata whose it is."""

    def __init__(self, log_id: str) -> None:
        super().__init__(self._keep)
        self._config = config(log_id)
        self._connection: Connection | None = None

    @property
    def is_there(self) -> bool:
        """Whether it was, when it was looked for last."""
        return self._connection is not None

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Subjects and contents, in this order. Raises Unsettled: then each may have been published or not.

        The last alone is confirmed by the stream: what was sent before it on the same connection came before it.
        """
        connection = self._connection
        if connection is None:
            raise Unsettled("NATS is away")
        *others, (last, data) = messages
        async with connection.exchange() as jetstream:
            for subject, content in others:
                await connection.client.publish(subject, content)
            await jetstream.publish(last, data, stream=self._config.name)

    async def _keep(self, connection: Connection) -> bool:
        async with connection.exchange() as jetstream:
            try:
                await jetstream.stream_info(str(self._config.name))
            except NotFoundError:
                await jetstream.add_stream(self._config)
                logger.info("made a stream", stream=self._config.name)
        self._connection = connection
        return True


def config(log_id: str) -> StreamConfig:
    made = FLOWS.config(LogEpoch(log_id, ONLY_EPOCH))
    return replace(made, max_bytes=LARGEST_BYTES, allow_atomic=None)
