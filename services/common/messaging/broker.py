"""What a relay asks of JetStream: the port, and its implementation on the official client."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol
from uuid import uuid4

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo
from nats.js.errors import NotFoundError

from services.common.messaging.connection import REQUEST_TIMEOUT, Connection, Unsettled
from services.common.messaging.envelope import Message, hash_of
from services.common.messaging.stream import LogEpoch, StreamState, Topic
from sidegate.evidence import Link

PAGE = 256
"""How many streams or consumers the server lists at once."""

WITNESS = "witness"
WRONG_LAST_SEQUENCE = 10071


class Outrun(Unsettled):
    """The stream is not where we thought it was: somebody else has published."""


class Unanswered(Unsettled):
    """Nothing came back for a publication, though the connection is the one that it was sent on."""


class Broker(Protocol):
    """The streams of one log. Every method raises Unsettled where the outcome is not known to be a success."""

    async def streams(self) -> Sequence[StreamState]:
        """The streams of all epochs that are there."""

    async def hash_at(self, stream: str, position: int) -> bytes | None:
        """The hash in the message at a position, empty if it has none; None if there is no such message."""

    async def create(self, log: LogEpoch) -> None:
        """Makes the stream of an epoch, empty; harmless where the same is there already."""

    async def witness(self, stream: str) -> Link | None:
        """Which event a stream had at a position, as was written beside it last; None if nothing was."""

    async def bear_witness(self, stream: str, link: Link) -> None:
        """Writes beside a stream which event it has at a position, in the place of what was written before."""

    async def retire(self, stream: str) -> None:
        """Takes the log's subjects from a stream, and its subscribers."""

    async def delete(self, stream: str) -> None:
        """Deletes a stream with all that it holds."""

    async def publish(self, stream: str, after: int, messages: Sequence[Message]) -> int:
        """Adds messages if the last of the stream is `after`, all or none of them; gives the position of the last."""


class JetStreamBroker:
    """The broker on one connection."""

    def __init__(self, connection: Connection, topic: Topic) -> None:
        self._connection = connection
        self._topic = topic

    async def streams(self) -> Sequence[StreamState]:
        found: list[StreamInfo] = []
        async with self._connection.exchange() as jetstream:
            while page := await jetstream.streams_info(offset=len(found)):
                found += page
                if len(page) < PAGE:
                    break
        return [state for info in found if (state := self._topic.state(info)) is not None]

    async def hash_at(self, stream: str, position: int) -> bytes | None:
        # Not the direct form: a replica that lags would say that the message is not there.
        async with self._connection.exchange() as jetstream:
            try:
                message = await jetstream.get_msg(stream, position)
            except NotFoundError:
                return None
        return hash_of(message.headers)

    async def create(self, log: LogEpoch) -> None:
        async with self._connection.exchange() as jetstream:
            await jetstream.add_stream(self._topic.config(log))

    async def witness(self, stream: str) -> Link | None:
        async with self._connection.exchange() as jetstream:
            try:
                config = (await jetstream.consumer_info(stream, WITNESS)).config
            except NotFoundError:
                return None
        return _link((config.metadata or {}).get(WITNESS, ""))

    async def bear_witness(self, stream: str, link: Link) -> None:
        # In a consumer that nobody reads from: it lives and dies with its stream, outlives messages, and writing it
        # cannot undo what somebody else changes in the stream's configuration at the same moment.
        config = ConsumerConfig(
            durable_name=WITNESS,
            deliver_policy=DeliverPolicy.NEW,
            ack_policy=AckPolicy.NONE,
            metadata={WITNESS: f"{link.position} {link.hash.hex()}"},
        )
        async with self._connection.exchange() as jetstream:
            await jetstream.add_consumer(stream, config)

    async def retire(self, stream: str) -> None:
        async with self._connection.exchange() as jetstream:
            config = (await jetstream.stream_info(stream)).config
            await jetstream.update_stream(config.evolve(subjects=[f"retired.{stream}"]))
            # A consumer of a stream that hears nothing more would wait for ever; without it, it looks again.
            while consumers := await jetstream.consumers_info(stream):
                for consumer in consumers:
                    with suppress(NotFoundError):
                        await jetstream.delete_consumer(stream, consumer.name)

    async def delete(self, stream: str) -> None:
        async with self._connection.exchange() as jetstream:
            with suppress(NotFoundError):
                await jetstream.delete_stream(stream)

    async def publish(self, stream: str, after: int, messages: Sequence[Message]) -> int:
        headers = [dict(message.headers) for message in messages]
        headers[0] |= {"Nats-Expected-Last-Sequence": str(after), "Nats-Expected-Stream": stream}
        if len(messages) > 1:
            batch = uuid4().hex
            for sequence, header in enumerate(headers, 1):
                header |= {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(sequence)}
            headers[-1]["Nats-Batch-Commit"] = "1"
        return await self._send(messages, headers)

    async def _send(self, messages: Sequence[Message], headers: Sequence[dict[str, str]]) -> int:
        changes = self._connection.changes
        try:
            async with self._connection.exchange():
                client = self._connection.client
                for message, header in zip(messages[:-1], headers[:-1], strict=True):
                    await client.publish(message.subject, message.data, headers=header)
                last = messages[-1]
                answer = await client.request(last.subject, last.data, timeout=REQUEST_TIMEOUT, headers=headers[-1])
        except Unsettled as error:
            if isinstance(error.__cause__, TimeoutError) and changes == self._connection.changes:
                raise Unanswered(str(error)) from error
            raise
        return _acknowledged(answer.data)


def _link(text: str) -> Link | None:
    position, _, hashed = text.partition(" ")
    try:
        return Link(int(position), bytes.fromhex(hashed))
    except ValueError:
        return None


def _acknowledged(answer: bytes) -> int:
    try:
        said = json.loads(answer)
        error = said.get("error")
        if error is None:
            return int(said["seq"])
        code, why = error.get("err_code"), str(error.get("description"))
    except (ValueError, LookupError, AttributeError, TypeError) as malformed:
        raise Unsettled("what answered is not JetStream") from malformed
    raise (Outrun if code == WRONG_LAST_SEQUENCE else Unsettled)(why)
