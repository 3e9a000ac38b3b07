"""The stream of flow records on a real NATS: records are there in their order, or the publisher hears that not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest
from nats.js import JetStreamContext

from services.common.messaging.connection import Connection, Unsettled
from services.common.messaging.flows import DAY, LARGEST_BYTES, FlowStream
from services.common.messaging.stream import log_of
from tests.support.nats import connected, running, within

LOG = "6f1c2d34-0000-4000-8000-000000000001"
R = TypeVar("R")
SUBJECT = "sidegate.v1.shop~default.flow.6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c"


@asynccontextmanager
async def keeping(stream: FlowStream, connection: Connection) -> AsyncIterator[None]:
    task = asyncio.create_task(stream.run(connection))
    try:
        await within(lambda: stream.is_there)
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def published(stream: FlowStream, *contents: bytes) -> None:
    """Whoever is not told that it is there tries again, as a gateway does."""

    async def is_there() -> bool:
        with suppress(Unsettled):
            await stream.publish([(SUBJECT, content) for content in contents])
            return True
        return False

    await within(is_there)


async def asked(connection: Connection, ask: Callable[[JetStreamContext], Awaitable[R]]) -> R:
    """However long the server takes, on a machine that has much else to do."""
    answers: list[R] = []

    async def answered() -> bool:
        with suppress(Unsettled):
            async with connection.exchange() as jetstream:
                answers.append(await ask(jetstream))
        return bool(answers)

    await within(answered)
    return answers[0]


async def test_records_are_published_in_order_and_a_stream_that_is_gone_is_made_again(tmp_path: Path) -> None:
    stream = FlowStream(LOG)
    stream.look = 0.05
    with pytest.raises(Unsettled):
        await stream.publish([(SUBJECT, b"early")])
    async with running(tmp_path) as nats, connected(nats, "endpoint") as connection, keeping(stream, connection):
        await published(stream, *(str(number).encode() for number in range(500)))
        info = await asked(connection, lambda jetstream: jetstream.stream_info("FLOW-1"))
        for back in (499, 250, 0):
            place = info.state.last_seq - back
            told = await asked(connection, lambda jetstream, place=place: jetstream.get_msg("FLOW-1", place))  # type: ignore[misc] # mypy cannot infer a default
            assert told.data == str(499 - back).encode()
        assert (info.config.max_age, info.config.max_bytes) == (DAY, LARGEST_BYTES)
        log = log_of(info.config.metadata or {})
        assert log is not None
        assert (log.log_id, log.epoch) == (LOG, 1)

        await asked(connection, lambda jetstream: jetstream.delete_stream("FLOW-1"))
        await published(stream, b"a", b"b")
        info = await asked(connection, lambda jetstream: jetstream.stream_info("FLOW-1"))
        assert 2 <= info.state.messages < 500
        await nats.wipe()
        await published(stream, b"c")
