"""Where the browser is: in a network of its own, out of which ways lead to ports of this machine and nowhere else.

Chromium drops its connections whenever an address of its network changes, and other tests make devices all the
time. The forwarding is done by a thread, so that what a test does meanwhile is not in the browser's way.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import namespaces
from tests.support.namespaces import Namespace

LOOPBACK = "127.0.0.1"
CHUNK = 1 << 16


class Ways:
    """Made by `ways_out`. A port that leads nowhere any more ends its connections."""

    def __init__(self, namespace: Namespace, loop: asyncio.AbstractEventLoop) -> None:
        self.namespace, self._loop = namespace, loop
        self._servers: dict[int, asyncio.Server] = {}
        self._forwarding: dict[int, set[asyncio.Task[None]]] = {}

    def lead_to(self, port: int) -> None:
        """The same port, of this machine, is there from now on."""
        asyncio.run_coroutine_threadsafe(self._listen(port), self._loop).result()

    @contextmanager
    def cut(self, port: int) -> Iterator[None]:
        """Within, the port is not there, and what was connected to it no longer is."""
        asyncio.run_coroutine_threadsafe(self._cut(port), self._loop).result()
        try:
            yield
        finally:
            self.lead_to(port)

    async def _cut(self, port: int) -> None:
        self._servers.pop(port).close()
        for task in self._forwarding.pop(port, set()):
            task.cancel()

    def close(self) -> None:
        async def all_of_them() -> None:
            for server in self._servers.values():
                server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(all_of_them(), self._loop).result()

    async def _listen(self, port: int) -> None:
        if port not in self._servers:
            ear = self.namespace.tcp_listener(LOOPBACK, port)
            self._servers[port] = await asyncio.start_server(lambda *near: self._forward(port, *near), sock=ear)

    def _forward(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks = self._forwarding.setdefault(port, set())
        tasks.add(task := asyncio.create_task(_forward(port, reader, writer)))
        task.add_done_callback(tasks.discard)


async def _forward(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        writer.close()
        return
    pumps = [asyncio.ensure_future(_pump(reader, far_writer)), asyncio.ensure_future(_pump(far_reader, writer))]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        writer.close()
        far_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(CHUNK):
            writer.write(content)
            await writer.drain()


@contextmanager
def ways_out() -> Iterator[Ways]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    with namespaces.make("browser") as (namespace,):
        thread.start()
        ways = Ways(namespace, loop)
        try:
            yield ways
        finally:
            ways.close()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
