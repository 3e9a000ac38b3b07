"""Signed heads on NATS: the stream HEADS, a subject for each log, the line of the file as the message."""

from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from services.common.messaging.connection import Connection, Unsettled
from sidegate.signed_heads import SignedHead

STREAM = "HEADS"
SUBJECTS = "head.v1.*"
KEPT = 100_000
"""Heads of each log that the stream keeps: at one a minute, two months and more."""


def config() -> StreamConfig:
    return StreamConfig(
        name=STREAM,
        subjects=[SUBJECTS],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        max_msgs_per_subject=KEPT,
        deny_delete=True,
        allow_direct=True,
    )


def subject(log: str) -> str:
    return f"head.v1.{log}"


class NatsWitness:
    """Publishes heads once there is a connection, and makes the stream where it is not there."""

    def __init__(self) -> None:
        self._connection: Connection | None = None

    def connected(self, connection: Connection) -> None:
        self._connection = connection

    async def __call__(self, head: SignedHead) -> None:
        """Raises Unsettled."""
        if self._connection is None:
            raise Unsettled("NATS is away")
        async with self._connection.exchange() as jetstream:
            try:
                await jetstream.stream_info(STREAM)
            except NotFoundError:
                await jetstream.add_stream(config())
            await jetstream.publish(subject(head.log), head.line, stream=STREAM)
