"""Watches what the session may see, and tells each of its pages what kinds of things have changed."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sidegate import errors
from sidegate.api.endpoint.v1.watch_pb2 import WatchConnectionsResponse, WatchEndpointsResponse
from sidegate.api.registry.v1.watch_pb2 import WatchResponse
from sidegate.client import Client
from sidegate.watching import Interrupted, Watch

LOST, BACK = "lost", "back"
"""Words beside kinds: a service does not answer; it answers again, and everything may have changed meanwhile. BACK also
comes once at the beginning: what a page shows was asked for before anybody watched for it.
"""

SOURCES = ("registry", "endpoint", "connection")
AGAIN_SECONDS = 1.0
Watches = Watch[WatchResponse] | Watch[WatchEndpointsResponse] | Watch[WatchConnectionsResponse]


@dataclass(eq=False)
class Listener:
    """A page. It is told of all that has come since it was told last, once."""

    words: set[str] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, words: set[str]) -> None:
        self.words |= words
        self.news.set()

    async def next(self, within: float) -> frozenset[str]:
        """What has changed, as soon as something has; nothing after so many seconds."""
        try:
            async with asyncio.timeout(within):
                await self.news.wait()
        except TimeoutError:
            return frozenset()
        return self.heard()

    def heard(self) -> frozenset[str]:
        """What has changed since this was asked last."""
        said, self.words = frozenset(self.words), set()
        self.news.clear()
        return said


class Hub:
    """Watches of one client, which run as long as somebody listens.

    Words are kinds: vpc, subnet, port, attachment, service, route_table, endpoint, connection; and `lost` and `back`.
    `over` is called once the client's key lets nobody in any more.
    """

    def __init__(self, client: Client, over: Callable[[], None] = lambda: None) -> None:
        self._client, self._over = client, over
        self._listeners: set[Listener] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._lost: set[str] = set()
        self._begun: set[str] = set()

    @property
    def watching(self) -> bool:
        """Whether all watches have begun: nothing that happens from now on is missed."""
        return len(self._begun) == len(SOURCES)

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        listener = Listener()
        self._listeners.add(listener)
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._follow(each)) for each in SOURCES]
        if self._lost:
            listener.tell({LOST})
        elif self.watching:
            listener.tell({BACK})
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._stop()

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks, self._lost, self._begun = [], set(), set()

    def _watch(self, source: str, told: Interrupted) -> Watches:
        match source:
            case "registry":
                return self._client.changes.watch(interrupted=told)
            case "endpoint":
                return self._client.endpoints.watch(interrupted=told)
            case _:
                return self._client.connections.watch(interrupted=told)

    async def _follow(self, source: str) -> None:
        """Until the key ends. What keeps a watch from going on keeps this from hearing of changes: `back` says so."""
        while True:
            try:
                async with self._watch(source, lambda _: self._lose(source)) as answers:
                    async for told in answers:
                        self._find(source)
                        if kinds := kinds_of(told):
                            self._tell(kinds)
            except errors.SidegateError as error:
                if error.reason == errors.CLOSED:  # the session is over: its pages look for that by themselves
                    return
                if isinstance(error, errors.Unauthenticated) and await self._is_revoked():
                    self._end()
                    return
                self._lose(source)
                await asyncio.sleep(AGAIN_SECONDS)

    def _end(self) -> None:
        self._over()
        self._tell(set())  # whoever waits for news looks whether his session goes on

    async def _is_revoked(self) -> bool:
        """A token that is refused may be an old one: whoever asks with another is let in."""
        try:
            await self._client.accounts.who_am_i()
        except errors.SidegateError as error:
            return isinstance(error, errors.Unauthenticated)
        return False

    def _lose(self, source: str) -> None:
        self._lost.add(source)
        self._tell({LOST})

    def _find(self, source: str) -> None:
        was_well = self.watching and not self._lost
        self._begun.add(source)
        self._lost.discard(source)
        if not was_well and self.watching and not self._lost:
            self._tell({BACK})

    def _tell(self, words: set[str]) -> None:
        for listener in self._listeners:
            listener.tell(words)


def kinds_of(told: WatchResponse | WatchEndpointsResponse | WatchConnectionsResponse) -> set[str]:
    match told:
        case WatchResponse():
            return {change.WhichOneof("resource") or "" for change in told.changes}
        case WatchEndpointsResponse():
            return {"endpoint"} if told.changes else set()
        case _:
            return {"connection"} if told.changes else set()
