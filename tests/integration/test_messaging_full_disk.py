"""The relay when the server's disk is full, really, and has room again."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from services.common.eventsourcing.sql_store import SqlStore
from services.common.messaging import relay as relay_module
from services.common.messaging.connection import Unsettled
from services.common.messaging.stream import ENDPOINT
from tests.support.chaos.disk import small_disk
from tests.support.chaos.streams import Streams
from tests.support.nats import DEADLINE, append, connected, follower, relaying, running, take, within
from tests.support.standalone import require_root

pytestmark = pytest.mark.root


async def test_a_stream_that_takes_nothing_more_when_the_disk_has_room_again_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_root()
    monkeypatch.setattr(relay_module, "DOUBT", 1)  # each publication that is not answered takes two seconds
    store = await SqlStore.open(tmp_path / "log.sqlite", synchronous="NORMAL")
    try:
        with small_disk(tmp_path / "disk") as disk:
            async with (
                running(disk.path / "nats") as nats,
                connected(nats, "relay") as connection,
                relaying(store, connection) as relay,
                follower(store, nats) as subscription,
            ):
                await append(store, 3)
                await take(subscription, 3)
                with disk.full():
                    while relay.healthy:  # one by one, until a block of the stream's file has no room
                        reached = await append(store, 1, data=bytes(2000))
                        with suppress(TimeoutError):
                            async with asyncio.timeout(3 * DEADLINE / 20):
                                await relay.published(reached)
                position = await append(store, 1)
                heard = await take(subscription, position)
                assert [event.position for event in heard] == list(range(4, position + 1))
                assert (await store.head()).epoch == 1
                streams = Streams(connection, ENDPOINT)

                async def whole() -> bool:
                    with suppress(Unsettled):
                        return [stream.last for stream in await streams.there()] == [position]
                    return False

                await within(whole)
    finally:
        await store.close()
