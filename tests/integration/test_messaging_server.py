"""The embedded server: private, on a port of its own, one per directory, gone when it should be."""

import asyncio
import json
import signal
import stat
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.common.identity.nats.authority import CREDENTIAL_FILE, KEYS_FILE, NatsAuthority
from services.common.messaging import server as server_module
from services.common.messaging.connection import connect
from services.common.messaging.server import NatsServer, ServerFailed
from sidegate.nkeys import UserCredential
from tests.support import identity
from tests.support.nats import DEADLINE, Nats, connected, running, server_at, within

STARTER = """
import asyncio, sys
from pathlib import Path
from services.common.messaging.server import NatsServer

async def main():
    server = NatsServer(Path(sys.argv[1]), Path(sys.argv[2]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


async def test_what_the_server_keeps_is_for_its_owner_only_and_no_secret_is_in_it(tmp_path: Path) -> None:
    async with server_at(tmp_path / "nats"):
        assert stat.S_IMODE((tmp_path / "nats").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "nats" / "nats.conf").stat().st_mode) == 0o600
    kept = "".join(path.read_text() for path in (tmp_path / "nats").glob("nats.*"))
    keys = json.loads((identity.nats_authority().directory / KEYS_FILE).read_text())
    assert [name for name, key in keys.items() if key.startswith("S") and key in kept] == []


async def test_the_credential_is_shown_nowhere(tmp_path: Path) -> None:
    credential = UserCredential.parse(identity.nats_user().read_text())
    with capture_logs() as logs:
        async with running(tmp_path) as nats, connected(nats, "one") as connection:
            shown = repr(nats.server) + nats.server.address + repr(connection)
            await nats.crash()
            await within(lambda: connection.connected)
    said = shown + repr(logs) + "".join(log.read_text() for log in tmp_path.glob("nats.*"))
    assert "connected to NATS" in said
    assert credential.key.seed not in said
    assert credential.jwt not in said


async def test_a_user_that_somebody_else_has_signed_is_refused(tmp_path: Path) -> None:
    NatsAuthority(tmp_path / "stranger").program(tmp_path / "stranger" / "endpoint", "endpoint")
    stranger = tmp_path / "stranger" / "endpoint" / CREDENTIAL_FILE
    with capture_logs() as logs:
        async with server_at(tmp_path / "nats") as server:
            attempt = asyncio.create_task(connect(server.url, "intruder", stranger))
            await within(lambda: "Authorization" in repr(logs))
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
    assert attempt.cancelled()


async def test_a_server_without_users_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="has no users"):
        await NatsServer(tmp_path / "nats", tmp_path / "nowhere").start()


async def test_servers_pick_ports_of_their_own_and_keep_them_over_a_restart(tmp_path: Path) -> None:
    async with server_at(tmp_path / "one") as one, server_at(tmp_path / "two") as two:
        assert one.address != two.address
        before = one.url
        await one.stop()
        assert one.pid is None
        await one.start()
        assert one.url == before


async def test_a_port_that_is_taken_is_an_error_that_says_so(tmp_path: Path) -> None:
    async with server_at(tmp_path / "one") as one:
        taken = int(one.address.rpartition(":")[2])
        with pytest.raises(ServerFailed, match="address already in use"):
            await server_at(tmp_path / "two", port=taken).start()


async def test_a_second_server_on_one_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "STARTUP", 0.4)
    async with server_at(tmp_path) as server:
        with pytest.raises(ServerFailed, match="another nats-server runs on"):
            await server_at(tmp_path).start()
        assert server.pid is not None


async def test_a_directory_with_any_name_will_do(tmp_path: Path) -> None:
    async with running(tmp_path / 'a "b" \\ $HOME é') as nats, connected(nats, "one") as connection:
        assert connection.connected


async def test_the_server_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    accounts = str(identity.nats_authority().server_file)
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTER, str(tmp_path), accounts, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert starter.stdout is not None
        async with asyncio.timeout(DEADLINE):
            pid = int(await starter.stdout.readline())
    finally:
        starter.kill()
        await starter.wait()
    await within(lambda: not alive(pid))
    async with server_at(tmp_path) as server:
        assert server.pid is not None


async def test_a_process_that_ends_by_itself_is_seen(tmp_path: Path) -> None:
    async with server_at(tmp_path) as server:
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
