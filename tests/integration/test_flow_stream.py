"""The stream of flow records on a real NATS: records are there in their order, or the publisher hears that not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from services.common.messaging.connection import Connection, Unsettled
from services.common.messaging.flows import DAY, LARGEST_BYTES, FlowStream
from services.common.messaging.stream import log_of
from tests.support.nats import connected, running, within

LOG = "6f1c2d34-0000-4000-8000-000000000001"
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


async def last(connection: Connection) -> int:
    async with connection.exchange() as jetstream:
        return (await jetstream.stream_info("FLOW-1")).state.last_seq


async def test_records_are_published_in_order_and_a_stream_that_is_gone_is_made_again(tmp_path: Path) -> None:
    stream = FlowStream(LOG)
    stream.look = 0.05
    with pytest.raises(Unsettled):
        await stream.publish([(SUBJECT, b"early")])
    async with running(tmp_path) as nats, connected(nats, "endpoint") as connection, keeping(stream, connection):
        await stream.publish([(SUBJECT, str(number).encode()) for number in range(500)])
        async with connection.exchange() as jetstream:
            info = await jetstream.stream_info("FLOW-1")
            found = [(await jetstream.get_msg("FLOW-1", number)).data for number in (1, 250, 500)]
        assert found == [b"0", b"249", b"499"]
        assert (info.config.max_age, info.config.max_bytes) == (DAY, LARGEST_BYTES)
        log = log_of(info.config.metadata or {})
        assert log is not None
        assert (log.log_id, log.epoch) == (LOG, 1)

        async with connection.exchange() as jetstream:
            await jetstream.delete_stream("FLOW-1")

        async def is_published() -> bool:
            """Whoever is not told that it is there tries again, as a gateway does."""
            with suppress(Unsettled, NotFoundError):
                await stream.publish([(SUBJECT, b"a"), (SUBJECT, b"b")])
                return True
            return False

        await within(is_published)
        assert await last(connection) >= 2
        await nats.wipe()
        await within(is_published)
