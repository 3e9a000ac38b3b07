"""Programs as supervised processes: started in order, started again when they end, stopped in reverse."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from services.common.offspring import ends_with_us

READY_SECONDS = 300.0
"""How long a program may take to be ready: a gateway agent puts its cell's whole table into the kernel first."""

STOP_SECONDS = 15.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
CALM_SECONDS = 10.0

log = structlog.get_logger(__name__)


class DidNotStart(Exception):
    """A program ended or said nothing before it was ready; the text names its log."""


@dataclass(frozen=True, slots=True)
class Program:
    """How to run `python -m MODULE`. Secrets go into `environment`, never into `arguments`."""

    name: str
    module: str
    arguments: Sequence[str]
    log: Path
    ready_file: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def tail(self, lines: int = 5) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


class Supervised:
    """One program, kept running until it is told to stop. `facts` is what its ready file said last."""

    def __init__(self, program: Program, on_restart: Callable[[], None]) -> None:
        self.program = program
        self._on_restart = on_restart
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.restarts = 0
        self.facts: Mapping[str, Any] = {}

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> Mapping[str, Any]:
        """Starts it and waits until it is ready; gives what its ready file says. Raises DidNotStart."""
        facts = await self._launch()
        self._keeper = asyncio.create_task(self._keep())
        return facts

    async def _launch(self) -> Mapping[str, Any]:
        program = self.program
        program.ready_file.unlink(missing_ok=True)
        with program.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *ends_with_us([sys.executable, "-m", program.module, *program.arguments]),
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                env={**os.environ, **program.environment},
            )  # fmt: skip
        self.facts = await self._wait_until_ready()
        return self.facts

    async def _wait_until_ready(self) -> Mapping[str, Any]:
        assert self._process is not None  # noqa: S101 # it was launched just now
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                while self._process.returncode is None:
                    if self.program.ready_file.exists():
                        return dict(json.loads(self.program.ready_file.read_text()))
                    await asyncio.sleep(0.01)
        said = self.program.tail()
        raise DidNotStart(f"{self.program.name} did not start; its log, {self.program.log}, ends:\n{said}")

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while self._process is not None:
            begun = loop.time()
            status = await self._process.wait()
            pause = FIRST_PAUSE if loop.time() - begun > CALM_SECONDS else min(pause * 2, LONGEST_PAUSE)
            log.warning("program ended, starting it again", name=self.program.name, status=status, pause=pause)
            await asyncio.sleep(pause)
            self.restarts += 1
            try:
                await self._launch()
            except (DidNotStart, OSError) as error:  # the disk may be full
                log.error("program did not come back", name=self.program.name, error=str(error))
                await self._end()
            self._on_restart()

    async def stop(self) -> None:
        """Ends it for good: SIGTERM, and SIGKILL for one that does not listen."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            log.error("program did not listen, killing it", name=self.program.name)
            process.kill()
            await process.wait()


async def insist(act: Callable[[], None], pause: float = CALM_SECONDS / 10) -> None:
    """Does what the disk may have no room for, again and again until it is done. `pause` is in seconds."""
    while True:
        try:
            return act()
        except OSError as error:
            log.warning("cannot write, trying again", why=str(error))
            await asyncio.sleep(pause)
