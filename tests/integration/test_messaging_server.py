"""The embedded server: private, on a port of its own, one per directory, gone when it should be."""

import asyncio
import signal
import stat
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.common.messaging import server as server_module
from services.common.messaging.connection import connect, parse
from services.common.messaging.server import NatsServer, ServerFailed
from tests.support.nats import DEADLINE, Nats, connected, running, within

STARTER = """
import asyncio, sys
from pathlib import Path
from services.common.messaging.server import NatsServer

async def main():
    server = NatsServer(Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


def token_of(server: NatsServer) -> str:
    token = parse(server.url).token
    assert token
    return token


async def test_what_the_server_keeps_is_for_its_owner_only(tmp_path: Path) -> None:
    async with NatsServer(tmp_path / "nats") as server:
        assert stat.S_IMODE((tmp_path / "nats").stat().st_mode) == 0o700
        for name in ("nats.conf", "nats.token"):
            assert stat.S_IMODE((tmp_path / "nats" / name).stat().st_mode) == 0o600
        assert token_of(server) == (tmp_path / "nats" / "nats.token").read_text()
        assert len(token_of(server)) >= 43  # 256 bits


async def test_the_token_is_shown_nowhere(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with running(tmp_path) as nats, connected(nats, "one") as connection:
            shown = repr(nats.server) + nats.server.address + repr(connection)
            await nats.crash()
            await within(lambda: connection.connected)
    assert token_of(nats.server) not in shown + repr(logs)
    assert "connected to NATS" in repr(logs)
    for log in tmp_path.glob("nats.*"):
        assert log.name in {"nats.conf", "nats.token"} or token_of(nats.server) not in log.read_text()


async def test_a_wrong_token_is_refused_and_not_logged(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with NatsServer(tmp_path) as server:
            attempt = asyncio.create_task(connect(f"nats://guessed@{server.address}", "intruder"))
            await within(lambda: "Authorization" in repr(logs))
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
    assert attempt.cancelled()
    assert "guessed" not in repr(logs)


async def test_servers_pick_ports_of_their_own_and_keep_them_and_the_token_over_a_restart(tmp_path: Path) -> None:
    async with NatsServer(tmp_path / "one") as one, NatsServer(tmp_path / "two") as two:
        assert one.address != two.address
        before = one.url
        await one.stop()
        assert one.pid is None
        await one.start()
        assert one.url == before


async def test_the_token_of_a_directory_stays_the_same(tmp_path: Path) -> None:
    tokens = set()
    for _ in range(2):
        async with NatsServer(tmp_path) as server:
            tokens.add(token_of(server))
    assert len(tokens) == 1
    (tmp_path / "nats.token").write_text("")
    with pytest.raises(ServerFailed, match=r"nats\.token is empty"):
        await NatsServer(tmp_path).start()


async def test_a_port_that_is_taken_is_an_error_that_says_so(tmp_path: Path) -> None:
    async with NatsServer(tmp_path / "one") as one:
        taken = int(one.address.rpartition(":")[2])
        with pytest.raises(ServerFailed, match="address already in use"):
            await NatsServer(tmp_path / "two", port=taken).start()


async def test_a_second_server_on_one_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "STARTUP", 0.4)
    async with NatsServer(tmp_path) as server:
        with pytest.raises(ServerFailed, match="another nats-server runs on"):
            await NatsServer(tmp_path).start()
        assert server.pid is not None


async def test_a_directory_with_any_name_will_do(tmp_path: Path) -> None:
    async with running(tmp_path / 'a "b" \\ $HOME é') as nats, connected(nats, "one") as connection:
        assert connection.connected


async def test_the_server_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert starter.stdout is not None
        async with asyncio.timeout(DEADLINE):
            pid = int(await starter.stdout.readline())
    finally:
        starter.kill()
        await starter.wait()
    await within(lambda: not alive(pid))
    async with NatsServer(tmp_path) as server:
        assert server.pid is not None


async def test_a_process_that_ends_by_itself_is_seen(tmp_path: Path) -> None:
    async with NatsServer(tmp_path) as server:
        server.signal(signal.SIGKILL)
        async with asyncio.timeout(DEADLINE):
            assert await server.wait() == -signal.SIGKILL
        assert server.pid is None
        await Nats(server).crash()
        assert server.pid is not None


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # one that has ended may wait for whoever inherited it to notice
