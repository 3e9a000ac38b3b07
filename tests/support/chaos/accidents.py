"""What is done to a whole Sidegate while it works."""

import asyncio
import os
import random
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from services.common.messaging.connection import Connection, connect
from services.common.messaging.stream import ENDPOINT, REGISTRY
from tests.support.chaos.disk import Disk
from tests.support.chaos.postgres import PostgresAccidents
from tests.support.chaos.run import Course
from tests.support.chaos.streams import Streams
from tests.support.standalone import Standalone, until

PROGRAMS = ("registry", "endpoint", "gateway", "nats")
LONGEST = 60.0
"""Seconds until a program that was killed is back, on a machine that has much else to do."""

ANYWHERE = (
    *(f"kill {program}" for program in PROGRAMS),
    *(f"stop {program}" for program in (*PROGRAMS, "standalone")),
    "kill both services",
    "kill everything",
    "copy nats",
    "roll back nats",
    "wipe nats",
    "nats away for too long",
    "disk full",
    "disk full as a program is killed",
)


ON_POSTGRES = (
    *ANYWHERE,
    "database shut down",
    "database killed",
    "database stopped",
    "database sends everybody away",
)


def fixed_ports() -> tuple[str, ...]:
    """Arguments with which standalone is at the same addresses after it was started again."""
    with socket.socket() as registry, socket.socket() as endpoint:
        for each in (registry, endpoint):
            each.bind(("127.0.0.1", 0))
        ports = [str(each.getsockname()[1]) for each in (registry, endpoint)]
    return ("--registry-port", ports[0], "--endpoint-port", ports[1])


class Accidents:
    """One after another, chosen by `chance`; each kind once if there is time for it."""

    def __init__(
        self,
        sidegate: Standalone,
        disk: Disk,
        directory: Path,
        chance: random.Random,
        postgres: PostgresAccidents | None = None,
    ) -> None:
        self._sidegate, self._disk, self._chance = sidegate, disk, chance
        self._postgres = postgres
        self._kinds = ON_POSTGRES if postgres else ANYWHERE
        self._copy = directory / "copy"

    @property
    def _nats_store(self) -> Path:
        return self._sidegate.data / "nats" / "jetstream"

    async def happen(self, course: Course) -> None:
        first = self._chance.sample(self._kinds, len(self._kinds))
        while not course.over:
            await asyncio.sleep(self._chance.uniform(0.05, 0.5))
            kind = first.pop() if first else self._chance.choice(self._kinds)
            await self._do(kind)
            course.done[kind] += 1

    async def _do(self, kind: str) -> None:
        match kind.split(maxsplit=1):
            case ["kill", "everything"]:
                await self._sidegate.kill()
                await self._sidegate.start()
            case ["kill", "both services"]:
                await asyncio.gather(*(self._kill(each) for each in ("registry", "endpoint")))
            case ["kill", program]:
                await self._kill(program)
            case ["stop", program]:
                with self._stopped(program):
                    await self._while_it_lasts()
            case ["copy", _]:
                await self._without_nats(lambda: _replace(self._nats_store, self._copy))
            case ["roll", _] if self._copy.exists():
                await self._without_nats(lambda: _replace(self._copy, self._nats_store))
            case ["roll" | "wipe", _]:
                await self._without_nats(lambda: shutil.rmtree(self._nats_store))
            case ["nats", _]:
                await self._away_for_too_long()
            case ["database", what] if self._postgres:
                await self._postgres.happen(what, self._while_it_lasts)
            case ["disk", "full"]:
                with self._disk.full():
                    await self._while_it_lasts()
            case _:
                program = self._chance.choice(PROGRAMS)
                killed = self._sidegate.pid_of(program)
                with self._disk.full():
                    os.kill(killed, signal.SIGKILL)
                    await self._while_it_lasts()
                await self._back(program, killed)

    async def _kill(self, program: str) -> None:
        killed = self._sidegate.pid_of(program)
        os.kill(killed, signal.SIGKILL)
        await self._back(program, killed)

    async def _back(self, program: str, killed: int) -> None:
        async def is_back() -> bool:
            return self._sidegate.ready["pids"][program] not in (None, killed)

        await until(f"{program} to be started again", is_back, LONGEST)

    @contextmanager
    def _stopped(self, program: str) -> Iterator[None]:
        pid = self._sidegate.pid if program == "standalone" else self._sidegate.pid_of(program)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def _without_nats(self, between: Callable[[], None], seconds: float = 0.0) -> None:
        """kill -9 of NATS, and something done before it is back: whoever would start it again is stopped meanwhile."""
        killed = self._sidegate.pid_of("nats")
        with self._stopped("standalone"):
            os.kill(killed, signal.SIGKILL)
            await until("NATS to be gone", lambda: _gone(killed))
            await asyncio.to_thread(between)
            await asyncio.sleep(seconds)
        await self._back("nats", killed)

    async def _away_for_too_long(self) -> None:
        """NATS comes back when everything in it has become too old."""
        async with self._operator() as connection:
            streams = [Streams(connection, topic) for topic in (REGISTRY, ENDPOINT)]
            for each in streams:
                await each.shorten_life()
            await self._without_nats(lambda: None, self._chance.uniform(0.5, 1.5))
            for each in streams:
                await each.lengthen_life()

    @asynccontextmanager
    async def _operator(self) -> AsyncIterator[Connection]:
        nats = self._sidegate.ready["nats"]
        user = self._sidegate.nats_anybody()
        async with await connect(f"nats://{nats['address']}", "operator", user) as connection:
            yield connection

    async def _while_it_lasts(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.1, 1.5))


async def _gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def _replace(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
