"""Programs that a benchmark starts: in a namespace, on a processor of their own, gone when it ends, however it ends."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.namespaces import RUN, Namespace

ROOT = Path(__file__).resolve().parent.parent
HEARING_SECONDS = 60.0
ENDING_SECONDS = 15.0
CLIENT_CPU, SERVER_CPU = 0, (os.cpu_count() or 1) - 1


class Failed(Exception):
    """A program did not do its part; the text says which, and what it said."""


class Child:
    """A process that speaks JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process, self._name = process, name

    @property
    def pid(self) -> int:
        return self._process.pid

    async def hear(self, seconds: float = HEARING_SECONDS) -> Any:
        """The next thing it says. Raises Failed when it ends, or is silent for so long, instead."""
        assert self._process.stdout is not None  # noqa: S101 # it is a pipe
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), seconds)
        except TimeoutError:
            raise Failed(f"{self._name} says nothing") from None
        if not line:
            assert self._process.stderr is not None  # noqa: S101 # it is a pipe
            raise Failed(f"{self._name}: {(await self._process.stderr.read()).decode(errors='replace').strip()[-800:]}")
        return json.loads(line)

    async def hear_of(self, fact: str) -> Any:
        """The next thing it says that has the fact."""
        while fact not in (said := await self.hear()):
            pass
        return said

    async def hear_line(self, beginning: str) -> None:
        """Waits for a line that begins so. Raises Failed when it ends instead."""
        assert self._process.stdout is not None  # noqa: S101 # it is a pipe
        while not (line := await self._process.stdout.readline()).startswith(beginning.encode()):
            if not line:
                raise Failed(f"{self._name} has ended")

    async def tell(self, **facts: Any) -> None:
        assert self._process.stdin is not None  # noqa: S101 # it is a pipe
        self._process.stdin.write(json.dumps(facts).encode() + b"\n")
        await self._process.stdin.drain()

    async def hear_all(self, seconds: float = HEARING_SECONDS) -> str:
        """Everything that it says until it ends. Raises Failed when it ends badly, or not within the time."""
        try:
            said, complaints = await asyncio.wait_for(self._process.communicate(), seconds)
        except TimeoutError:
            raise Failed(f"{self._name} does not end") from None
        if self._process.returncode != 0:
            raise Failed(f"{self._name}: {(complaints + said).decode(errors='replace').strip()[-800:]}")
        return said.decode()

    async def last_words(self) -> str:
        """What it complained of, if it has ended by itself."""
        if self._process.returncode in (None, 0):
            return ""
        assert self._process.stderr is not None  # noqa: S101 # it is a pipe
        return f"{self._name} has ended: {(await self._process.stderr.read()).decode(errors='replace')[-400:]}"

    async def end(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
        try:
            await asyncio.wait_for(self._process.wait(), ENDING_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def inside(namespace: Namespace | None, cpu: int | None, end: signal.Signals) -> Sequence[str]:
    """What to put before a command to run it in the namespace and on the processor; it ends with the benchmark."""
    enter = () if namespace is None else ("nsenter", f"--net={RUN / namespace.name}")
    pin = () if cpu is None else ("taskset", "--cpu-list", str(cpu))
    return (*enter, "setpriv", "--pdeathsig", end.name.removeprefix("SIG"), *pin)


def and_all_it_starts(command: Sequence[str]) -> Sequence[str]:
    """The command in a process namespace of its own, so that its children die with it."""
    return ("unshare", "--pid", "--fork", "--kill-child", *command)


@asynccontextmanager
async def child(
    command: Sequence[str],
    *,
    namespace: Namespace | None = None,
    cpu: int | None = None,
    end: signal.Signals = signal.SIGKILL,
) -> AsyncIterator[Child]:
    """The process for as long as the block lasts; then it gets the signal `end`, and is waited for."""
    process = await asyncio.create_subprocess_exec(
        *inside(namespace, cpu, end), *command,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        cwd=ROOT, start_new_session=True, limit=1 << 20,
    )  # fmt: skip
    made = Child(process, Path(command[0]).name)
    try:
        yield made
    except Failed as failure:
        if words := await made.last_words():
            raise Failed(f"{failure}; {words}") from failure
        raise
    finally:
        await made.end(end)


def module(name: str, *arguments: str) -> Sequence[str]:
    """The command that runs a module of ours."""
    return (sys.executable, "-m", name, *arguments)
