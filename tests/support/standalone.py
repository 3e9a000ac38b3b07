"""A running standalone of the test's own: started, stopped, killed, asked through its public interfaces only."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from services.common.identity.nats.authority import CREDENTIAL_FILE, NatsAuthority
from services.common.identity.nats.rights import Rights
from services.common.offspring import ends_with_us
from sidegate.client import Client
from sidegate.credentials import Credential

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 40.0
GATEWAYS: set[str] = set()
"""Ids of all gateways that this run has started."""

R = TypeVar("R")


def require_root() -> None:
    """Packets need root: a test that cannot send them fails, since skipping would hide that nothing was tested."""
    assert os.geteuid() == 0, "this test sends real packets and needs root (run: sudo make test)"


async def until(what: str, ask: Callable[[], Awaitable[R]], seconds: float = 30.0) -> R:
    """The first true answer. Fails after `seconds`, with the last answer."""
    answer: R | None = None
    try:
        async with asyncio.timeout(seconds):
            while not (answer := await ask()):
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {seconds:g} s for {what}; the last answer was {answer!r}") from None
    return answer


class Standalone:
    """`async with Standalone(tmp_path) as sidegate:`. With `rootless` its programs believe that they are not root.

    The HTTPS API, which takes as long to start as all others, runs only with `http`, and the console with `console`.
    Settings that standalone does not have reach its programs by the `environment`.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        rootless: bool = False,
        databases: Mapping[str, str] | None = None,
        start_seconds: float = START_SECONDS,
        http: bool = False,
        console: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data = directory / "data"
        self.ready_file = directory / "ready.json"
        self._output = directory / "standalone.log"
        fronts = ("--http" if http else "--no-http", "--console" if console else "--no-console")
        self._arguments = (*arguments, *fronts)
        self._databases = databases or {}
        self._told = environment or {}
        self._start_seconds = start_seconds
        # A user namespace without a mapping: files are still ours, but nothing may be done that needs root.
        self._prefix = [shutil.which("unshare") or "unshare", "--user"] if rootless else []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ready(self) -> Mapping[str, Any]:
        return dict(json.loads(self.ready_file.read_text()))

    @property
    def ca(self) -> bytes:
        """What its certificates are verified with (PEM)."""
        return Path(self.ready["ca"]).read_bytes()

    def nats_anybody(self) -> Path:
        """A credential on its NATS with rights that Sidegate gives nobody, to look with and to break things."""
        directory = self.data.parent / "nats-anybody"
        NatsAuthority(self.data / "tls").user(directory, "anybody", Rights((">",), (">",)))
        return directory / CREDENTIAL_FILE

    @property
    def https(self) -> str:
        """The HTTPS API's URL, of one that was made with `http`."""
        return str(self.ready["http_api"]["https"])

    @property
    def console_url(self) -> str:
        """The console's URL, of one that was made with `console`."""
        return str(self.ready["console"]["https"])

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pid_of(self, program: str) -> int:
        pid = self.ready["pids"][program]
        assert isinstance(pid, int)
        return pid

    async def start(self) -> None:
        self.ready_file.unlink(missing_ok=True)
        places = ["--data-dir", str(self.data), "--ready-file", str(self.ready_file)]
        command = [sys.executable, "-m", "services.standalone", *places, *self._arguments]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._prefix, *ends_with_us(command)],
                cwd=ROOT,
                env={**os.environ, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        await until("standalone", self._is_ready, self._start_seconds)
        if gateway := self.ready["gateway"]:
            GATEWAYS.add(gateway["id"])

    def database(self, program: str) -> str:
        """The URL or path of a program's log."""
        return self._databases.get(program, str(self.data / f"{program}.sqlite"))

    def _environment(self) -> Mapping[str, str]:
        databases = {f"SIDEGATE_{program.upper()}_DATABASE": url for program, url in self._databases.items()}
        return {**databases, **self._told}

    async def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"standalone ended: {self.output}"
        return self.ready_file.exists()

    async def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self._process is not None
        self._process.terminate()
        return await self._ended()

    async def kill(self) -> None:
        """kill -9 of standalone itself; its programs notice and end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # it starts nothing more that we would not know of
        await until("standalone to stand still", lambda: _stands_still(self.pid))
        pids = children(self.pid)
        self._process.kill()
        await self._ended()
        await until("the programs to end with it", lambda: _none_alive(pids))

    async def _ended(self) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        try:
            return await asyncio.to_thread(process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"standalone did not end: {self.output}") from None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:  # Ctrl-C, too: what was started would run on beside what tidies up after it
            if self._process is not None:
                await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await self.stop()

    async def kill_program(self, program: str) -> None:
        """kill -9 of one program; returns when the supervisor has started it again."""
        killed = self.pid_of(program)
        os.kill(killed, signal.SIGKILL)

        async def is_back() -> bool:
            return self.ready["pids"][program] not in (None, killed)

        await until(f"{program} to be started again", is_back)

    def client(self, account: str, project: str = "default", timeout: float = 10.0) -> Client:
        ready = self.ready
        gateway = ready["gateway"]
        return Client(
            registry=ready["registry"]["grpc"],
            endpoint=ready["endpoint"]["grpc"],
            gateway=f"unix:{gateway['socket']}" if gateway else "",
            credential=Credential.read(Path(ready["credential"])),
            ca=self.ca,
            account="" if account == "operator" else account,
            project=project,
            timeout=timeout,
        )

    def cli(self, *arguments: str, account: str = "operator") -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("sidegate")
        command = [str(program), "--config", str(self.ready_file), *_for(account), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def answer(self, *arguments: str, account: str = "operator") -> Any:
        """What the command line answers, as data."""
        done = self.cli(*arguments, "-o", "json", account=account)
        assert done.returncode == 0, f"sidegate {' '.join(arguments)}: {done.stderr}"
        return json.loads(done.stdout)


def _for(account: str) -> list[str]:
    return [] if account == "operator" else ["--account", account]


def children(pid: int) -> list[int]:
    """The processes that it has started and that are not yet reaped."""
    return [int(child) for each in Path(f"/proc/{pid}/task").glob("*/children") for child in each.read_text().split()]


async def _stands_still(pid: int) -> bool:
    return "\nState:\tT" in Path(f"/proc/{pid}/status").read_text()


async def _none_alive(pids: list[int]) -> bool:
    return not any(_is_alive(pid) for pid in pids)


def _is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
