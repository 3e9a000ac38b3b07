"""What is done to a PostgreSQL server that both logs are on."""

from collections.abc import Awaitable, Callable, Sequence

from tests.support.postgres import Server


class PostgresAccidents:
    """The server runs again after each of them."""

    def __init__(self, server: Server, databases: Sequence[str]) -> None:
        self._server, self._databases = server, databases

    async def happen(self, what: str, while_it_lasts: Callable[[], Awaitable[None]]) -> None:
        match what:
            case "shut down":
                self._server.stop()
                await while_it_lasts()
                self._server.start()
            case "killed":
                self._server.kill()
                await while_it_lasts()
                self._server.start()
            case "stopped":
                with self._server.stopped():
                    await while_it_lasts()
            case _:
                for database in self._databases:
                    self._server.disconnect(database)
