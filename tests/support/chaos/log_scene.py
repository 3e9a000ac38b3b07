"""A log that two relays publish and several subscribers follow, all of them processes; and what is done to it."""

import asyncio
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

from services.common.eventsourcing.sql_store import SqlStore
from services.common.hosting import audit_of
from services.common.messaging.connection import Connection
from services.common.messaging.stream import ENDPOINT
from services.common.rpc.server import RpcServer
from tests.support import identity
from tests.support.chaos import journal
from tests.support.chaos.processes import Processes
from tests.support.chaos.streams import Streams
from tests.support.nats import Nats, append, connected, running

CELLS = ("a", "b", "c", "d")
RELAYS = ("relay 1", "relay 2")
SUBSCRIBERS = {"whole": "", "another whole": "", "cell a": "a", "cell b": "b"}
PACKAGE = "tests.support.chaos"
PAUSE = 0.02
PATIENCE = 60.0
"""Seconds that anything here may take: many processes start at once, on a machine that may have much else to do."""


class LogScene:
    """Made by `log_scene`. Everything that changes the log does so while nothing is appended."""

    def __init__(self, directory: Path, chance: random.Random, nats: Nats, connection: Connection) -> None:
        self._database, self._backup = directory / "log.sqlite", directory / "backup.sqlite"
        self._directory = directory
        self._chance = chance
        self._appending = asyncio.Lock()
        self._listen = "127.0.0.1:0"
        self.nats = nats
        self.copy = directory / "copy"
        self.processes = Processes(directory)
        self.streams = Streams(connection, ENDPOINT)
        self.appended = 0

    async def open(self) -> None:
        """Opens the log, and answers those who ask its owner."""
        self.store = await SqlStore.open(self._database, synchronous="NORMAL")
        self._server = RpcServer(identity.internal(self._listen), [audit_of(self.store, "endpoint", None)])
        self._listen = await self._server.start()

    async def close(self) -> None:
        await self._server.stop(0)
        await self.store.close()

    def start(self) -> None:
        for relay in RELAYS:
            told = (str(self._database), self.nats.server.url, str(identity.nats_user("endpoint")))
            self.processes.start(relay, f"{PACKAGE}.relay_program", *told)
        for name, cell in SUBSCRIBERS.items():
            certificate = str(identity.directory_of("registry"))
            places = (self.nats.server.url, self._listen, certificate, str(self._journal(name)))
            self.processes.start(name, f"{PACKAGE}.subscriber_program", *places, *([cell] if cell else []))

    async def append(self, count: int, cell: str) -> int:
        async with self._appending:
            self.appended += count
            return await append(self.store, count, cell, self._chance.randbytes(100))

    async def write(self) -> None:
        """Appends until it is cancelled between two appends."""
        while True:
            await asyncio.shield(self.append(self._chance.choice((1, 1, 1, 2, 5, 40)), self._chance.choice(CELLS)))
            await asyncio.sleep(self._chance.random() * PAUSE)

    async def back_up(self) -> None:
        def copy() -> None:
            with closing(sqlite3.connect(self._database)) as source, closing(sqlite3.connect(self._backup)) as target:
                source.backup(target)

        async with self._appending:
            await asyncio.to_thread(copy)

    @asynccontextmanager
    async def restoring(self, grown: int) -> AsyncIterator[None]:
        """The log is put back to its backup, with its programs stopped, and has grown when they are back."""
        async with self._appending:
            for relay in RELAYS:
                self.processes.kill(relay)
            await self.close()
            for leftover in self._directory.glob("log.sqlite*"):
                leftover.unlink()
            shutil.copy(self._backup, self._database)
            yield
            await self.open()
            for _ in range(grown):
                await append(self.store, 1, self._chance.choice(CELLS), self._chance.randbytes(100))
            for relay in RELAYS:
                self.processes.restart(relay)

    async def grow_old(self) -> None:
        """A quiet week: nothing is appended, and when the last message is witnessed, all of them are too old."""
        async with self._appending:
            await self.streams.witnessed((await self.store.head()).position)
            await self.streams.grow_old()

    def heard(self, subscriber: str) -> list[journal.Hearing]:
        return journal.read(self._journal(subscriber))

    def _journal(self, subscriber: str) -> Path:
        return self._directory / f"{subscriber}.journal"


@asynccontextmanager
async def log_scene(directory: Path, chance: random.Random) -> AsyncIterator[LogScene]:
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(running(directory / "nats"))
        connection = await stack.enter_async_context(connected(nats, "operator", identity.nats_anybody()))
        scene = LogScene(directory, chance, nats, connection)
        await scene.open()
        stack.push_async_callback(scene.close)
        stack.callback(scene.processes.end)
        scene.start()
        async with asyncio.timeout(PATIENCE):
            await scene.streams.witnessed(await scene.append(1, "a"), PATIENCE)
        await scene.nats.copy(scene.copy)
        await scene.back_up()
        yield scene
