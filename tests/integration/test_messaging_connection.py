"""The connection: back by itself after anything, and never silent about what it does not know."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from services.common.messaging.connection import Connection, NoCredential, Unsettled, connect, parse
from tests.support import identity
from tests.support.nats import DEADLINE, Nats, connected, running, within


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[Nats]:
    async with running(tmp_path) as server:
        yield server


@pytest.fixture
async def connection(nats: Nats) -> AsyncIterator[Connection]:
    async with connected(nats, "one") as made:
        yield made


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("nats://h:1", ["nats://h:1"]),
        ("h:1", ["nats://h:1"]),
        ("tls://h:1,tls://[::1]:2", ["tls://h:1", "tls://[::1]:2"]),
    ],
)
def test_a_url_names_servers(url: str, servers: list[str]) -> None:
    assert parse(url) == servers


@pytest.mark.parametrize(
    "url", ["", "nats://", "nats://s3cret@", "s3cret@h", "http://s3cret@h:1", "h:1,", "s3cret@h:x"]
)
def test_what_is_no_address_is_refused_without_the_credentials_in_it(url: str) -> None:
    with pytest.raises(ValueError, match="is not the address of a NATS server") as refused:
        parse(url)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["nats://s3cret@h:1", "nats://u:s3cret@h:1", "nats://h:1,nats://s3cret@h:1"])
def test_a_url_with_a_secret_in_it_is_refused_and_the_way_out_named(url: str) -> None:
    with pytest.raises(ValueError, match="credentials in files") as refused:
        parse(url)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("text", [None, "", "s3cret", "-----BEGIN NATS USER JWT-----\ns3cret\n"])
def test_a_file_that_is_no_credential_is_named_and_not_shown(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "nats.creds"
    if text is not None:
        path.write_text(text)
    with pytest.raises(NoCredential, match=r"nats\.creds is no credential of NATS") as refused:
        Connection("nats://h:1", "one", path)
    assert "s3cret" not in str(refused.value)


async def test_connecting_ends_when_it_is_cancelled_at_the_moment_of_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse_and_cancel(*_: object, **__: object) -> None:
        opening.cancel()
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "open_connection", refuse_and_cancel)
    opening = asyncio.create_task(Connection("nats://127.0.0.1:9", "one", identity.nats_user()).open())

    await asyncio.wait([opening], timeout=DEADLINE)

    assert opening.cancelled()


async def test_an_exchange_ends_when_the_connection_is_lost_and_not_when_its_time_is_over(
    nats: Nats, connection: Connection
) -> None:
    began = asyncio.get_running_loop().time()
    with nats.frozen():

        async def ask() -> None:
            async with connection.exchange() as jetstream:
                await jetstream.streams_info()

        asking = asyncio.create_task(ask())
        await asyncio.sleep(0)
        await nats.server.kill()
    with pytest.raises(Unsettled):
        await asking
    with pytest.raises(Unsettled, match="away"):
        await ask()
    assert asyncio.get_running_loop().time() - began < 1


async def test_a_server_that_is_silent_is_not_waited_for_for_ever(nats: Nats, connection: Connection) -> None:
    with nats.frozen(), pytest.raises(Unsettled):
        async with connection.exchange() as jetstream:
            await jetstream.streams_info()


async def test_a_connection_comes_back_after_the_server_does(nats: Nats, connection: Connection) -> None:
    for _ in range(3):
        before = connection.changes
        await nats.crash()
        await within(partial(returned, connection, before))
    async with connection.exchange() as jetstream:
        await jetstream.streams_info()


def returned(connection: Connection, before: int) -> bool:
    return connection.connected and connection.changes >= before + 2


@pytest.mark.filterwarnings("ignore:.*StreamWriter:pytest.PytestUnraisableExceptionWarning")  # nats-py leaves it open
async def test_a_credential_that_is_gone_for_some_time_is_read_once_it_is_there_again(
    nats: Nats, tmp_path: Path
) -> None:
    """The client ended for good at the first attempt without it, and told nobody."""
    credential, elsewhere = tmp_path / "nats.creds", tmp_path / "elsewhere.creds"
    shutil.copy(identity.nats_user(), credential)
    connection = await connect(nats.server.url, "one", credential)
    try:
        credential.rename(elsewhere)
        before = connection.changes
        await nats.crash()
        await within(lambda: "no credential of NATS" in connection._complaint)
        elsewhere.rename(credential)
        await within(partial(returned, connection, before))
    finally:
        await connection.close()


async def test_a_client_that_gave_up_is_replaced(nats: Nats, connection: Connection) -> None:
    given_up = connection.client
    await given_up.close()
    await within(lambda: connection.connected)
    assert connection.client is not given_up
    async with connection.exchange() as jetstream:
        await jetstream.streams_info()


async def test_a_wait_ends_when_the_connection_changes(nats: Nats, connection: Connection) -> None:
    async def wait() -> None:
        async with connection.undisturbed(DEADLINE):
            await asyncio.get_running_loop().create_future()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    before = connection.changes
    await nats.server.kill()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiting, DEADLINE)
    with pytest.raises(TimeoutError):
        async with connection.undisturbed(DEADLINE, since=before):
            await asyncio.get_running_loop().create_future()


async def test_connecting_waits_for_a_server_that_comes_later(tmp_path: Path) -> None:
    async with running(tmp_path / "later") as nats:
        await nats.server.stop()
        connecting = asyncio.create_task(connect(nats.server.url, "early", identity.nats_user()))
        await nats.server.start()
        async with asyncio.timeout(DEADLINE):
            connection = await connecting
        await connection.close()


async def test_a_cancellation_that_the_client_swallows_is_a_cancellation_all_the_same(connection: Connection) -> None:
    async def swallow() -> None:
        async with connection.exchange():
            with suppress(asyncio.CancelledError):  # as wait_for does when the answer comes at that very moment
                await asyncio.get_running_loop().create_future()
        raise AssertionError("it went on")

    swallowing = asyncio.create_task(swallow())
    await asyncio.sleep(0)
    swallowing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await swallowing
