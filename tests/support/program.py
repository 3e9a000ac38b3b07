"""One service as a program of its own, on the same address each time it is started, to be killed."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from services.common.offspring import ends_with_us
from tests.support import identity

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 30.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Program:
    """`python -m services.registry` without NATS and endpoint service: nobody answers at their addresses."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self._directory, self._arguments = directory, arguments
        self._ready = directory / "registry.ready"
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"127.0.0.1:{free_port()}"

    async def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        database = str(self._directory / "registry.sqlite")
        places = ("--listen", self.address, "--database", database, "--ready-file", str(self._ready))
        elsewhere = ("--endpoint-address", "127.0.0.1:1", "--nats-url", "nats://127.0.0.1:1")
        who = identity.arguments(self._directory)
        command = [sys.executable, "-m", "services.registry", *places, *elsewhere, *who, *self._arguments]
        with (self._directory / "registry.log").open("ab") as log:
            self._process = subprocess.Popen(
                ends_with_us(command),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + DEADLINE
        while not self._ready.exists():
            assert self._process.poll() is None, (self._directory / "registry.log").read_text()
            assert time.monotonic() < deadline, "the registry did not start"
            await asyncio.sleep(0.01)
        assert json.loads(self._ready.read_text())["grpc"] == self.address

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            await asyncio.to_thread(self._process.wait, DEADLINE)
            self._process = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end(signal.SIGKILL)
