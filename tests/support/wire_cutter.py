"""What stands between a client and PostgreSQL, and cuts the wire at the one moment that matters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from tests.support.postgres import USER, Server

Cut = Literal["before", "after", ""]
COMMIT = b"COMMIT\0"
"""With its end: every transaction of a writer begins as READ COMMITTED."""

WRITER = b"sidegate writer"
"""What a log's writer calls itself when it connects; readers commit too."""


class WireCutter:
    """With `cut` set, the server does not hear the writer's next COMMIT, or the client not its answer; then no more."""

    def __init__(self, server: Server) -> None:
        self.cut: Cut = ""
        self.cuts = 0
        self._socket = f"{server.directory}/.s.PGSQL.{server.port}"
        self._port = 0

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self._port}/{database}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["WireCutter"]:
        async with await asyncio.start_server(self._connected, "127.0.0.1", 0) as listening:
            self._port = listening.sockets[0].getsockname()[1]
            yield self

    async def _connected(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(self._socket)
        answers = asyncio.create_task(_pass_on(server, to_client))
        try:
            writes = False
            while said := await client.read(65536):
                writes = writes or WRITER in said
                if writes and COMMIT in said and self.cut:
                    await self._cut(said, to_server, answers)
                    break
                to_server.write(said)
        finally:
            answers.cancel()
            for end in (to_client, to_server):
                end.close()

    async def _cut(self, said: bytes, to_server: asyncio.StreamWriter, answers: asyncio.Task[None]) -> None:
        cut, self.cut = self.cut, ""
        self.cuts += 1
        if cut == "after":
            answers.cancel()  # what the server answers from now on, nobody hears
            await asyncio.wait([answers])
            to_server.write(said)
            to_server.write_eof()
            await to_server.drain()


async def _pass_on(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    while heard := await source.read(65536):
        to.write(heard)
