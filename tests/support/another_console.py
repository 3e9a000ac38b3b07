"""One more console before a running Sidegate: with settings of its own, started and ended as a test likes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from services.common.offspring import ends_with_us
from tests.support.program import free_port
from tests.support.standalone import ROOT, Standalone, until

END_SECONDS = 30.0


class AnotherConsole:
    """`async with AnotherConsole(sidegate, tmp_path, session_idle_minutes="0.05") as console:`, at `console.url`.

    It listens on the same port each time that it is started. `registry` is another address to ask for it.
    """

    def __init__(self, sidegate: Standalone, directory: Path, registry: str = "", **settings: str) -> None:
        self.ca: bytes = sidegate.ca
        self.log = directory / "console.log"
        self._ready, self._output = directory / "console.ready", directory / "console.out"
        self.console_url = f"https://127.0.0.1:{free_port()}"
        own = {
            "tls": str(sidegate.data / "tls" / "console"),
            "ready_file": str(self._ready),
            "log_file": str(self.log),
            "log_level": "debug",
            "listen": self.console_url.removeprefix("https://"),
            "socket": str(directory / "console.sock"),
            "registry_address": registry or sidegate.ready["registry"]["grpc"],
            "endpoint_address": sidegate.ready["endpoint"]["grpc"],
        }
        self._settings: Mapping[str, str] = {f"SIDEGATE_{k.upper()}": v for k, v in {**own, **settings}.items()}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.console_url

    @property
    def output(self) -> str:
        return self._output.read_text()

    async def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                ends_with_us([sys.executable, "-m", "services.console"]),
                cwd=ROOT,
                env={**os.environ, **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        await until("the console", self._is_ready, 60.0)
        assert json.loads(self._ready.read_text())["https"] == self.console_url

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(number)
        return await asyncio.to_thread(process.wait, END_SECONDS)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await self.end()

    async def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.output
        return self._ready.exists()
