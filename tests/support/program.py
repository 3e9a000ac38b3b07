"""Services as programs of their own, on the same address each time they are started, to be killed."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from services.common.offspring import ends_with_us
from tests.support import identity, nats
from tests.support.identity import Known

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program listens: for everybody, and for our own programs."""

    public: str
    internal: str

    @classmethod
    def free(cls) -> Self:
        return cls(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")


class Program:
    """`python -m services.registry` or `services.endpoint`."""

    def __init__(self, name: str, directory: Path, place: Place, *arguments: str, nats_url: str, database: str) -> None:
        self.name, self.place, self.database = name, place, database
        self._ready, self._log = directory / f"{name}.ready", directory / f"{name}.log"
        listening = ("--listen", place.public, "--internal-listen", place.internal)
        files = ("--tls", str(identity.directory_of(name)), "--ready-file", str(self._ready))
        self._command = [sys.executable, "-m", f"services.{name}", *listening, *files, *arguments]
        self._environment = {"SIDEGATE_NATS_URL": nats_url, "SIDEGATE_DATABASE": database}
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ends_with_us(self._command),
                cwd=ROOT,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + DEADLINE
        while not self._ready.exists():
            assert self._process.poll() is None, self._log.read_text()[-3000:]
            assert time.monotonic() < deadline, f"the {self.name} did not start: {self._log.read_text()[-3000:]}"
            await asyncio.sleep(0.01)
        assert json.loads(self._ready.read_text())["grpc"] == self.place.public

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            await asyncio.to_thread(self._process.wait, DEADLINE)
            self._process = None


@dataclass
class ControlPlane:
    """Registry and endpoint service with a NATS server; whoever is named has a client."""

    programs: Mapping[str, Program]

    def client(self, account: str, timeout: float = 5.0) -> Known:
        registry, endpoint = (self.programs[name].place.public for name in ("registry", "endpoint"))
        return Known(registry, endpoint, account=account, project="live", timeout=timeout)

    async def kill(self, *names: str) -> None:
        """kill -9 of these at once; returns when they serve again."""
        for name in names:
            await self.programs[name].end(signal.SIGKILL)
        await asyncio.gather(*(self.programs[name].start() for name in names))

    async def stop(self) -> None:
        await asyncio.gather(*(program.end() for program in self.programs.values()))


@asynccontextmanager
async def control_plane(directory: Path, databases: Mapping[str, str]) -> AsyncIterator[ControlPlane]:
    """`databases` are paths or URLs of the logs, by program."""
    async with AsyncExitStack() as stack:
        url = (await stack.enter_async_context(nats.running(directory / "nats"))).server.url
        registry, endpoint = Place.free(), Place.free()
        secrets = identity.arguments(directory)[2:]
        arguments = {
            "registry": ("--endpoint-address", endpoint.internal, *secrets, "--service-quota", "-1"),
            "endpoint": ("--registry-address", registry.internal, "--endpoint-quota", "-1"),
        }
        arguments["endpoint"] += ("--creation-deadline-seconds", "86400")
        places = {"registry": registry, "endpoint": endpoint}
        programs = {
            name: Program(name, directory, places[name], *arguments[name], nats_url=url, database=databases[name])
            for name in places
        }
        for program in programs.values():
            stack.push_async_callback(program.end, signal.SIGKILL)
        await asyncio.gather(*(program.start() for program in programs.values()))
        yield ControlPlane(programs)
