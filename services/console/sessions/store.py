"""All sessions: found by what the cookie says, ended when they are idle or old, never more than so many."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.console.sessions.session import Session

SWEEP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """`idle` and `longest` in seconds; sessions of one access key, and of all."""

    idle: float = 1800.0
    longest: float = 43_200.0
    of_key: int = 20
    of_all: int = 2000


class Sessions:
    """By the hash of their cookie: whoever reads this memory's dump by a bug of ours cannot sign in with it."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> None:
        self._bounds, self._clock = bounds, clock
        self._sessions: dict[str, Session] = {}
        self._ended: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def now(self) -> float:
        return self._clock()

    def keep(self, session: Session) -> str:
        """What the cookie is to say. The oldest of the key's, or of all, makes room."""
        of_key = [name for name, each in self._sessions.items() if each.access_key == session.access_key]
        for name in of_key[: max(0, len(of_key) + 1 - self._bounds.of_key)]:
            self._end(name)
        while len(self._sessions) >= self._bounds.of_all:
            self._end(next(iter(self._sessions)))
        cookie = secrets.token_urlsafe(32)
        self._sessions[_name(cookie)] = session
        return cookie

    def find(self, cookie: str, *, touch: bool = True) -> Session | None:
        """The session, if it has not ended. With `touch` it counts as used now: what a person does, not a stream."""
        session = self._sessions.get(_name(cookie)) if cookie else None
        if session is None:
            return None
        if self._is_over(session):
            self._end(_name(cookie))
            return None
        if touch:
            session.seen = self._clock()
        return session

    def goes_on(self, session: Session) -> bool:
        """Whether it has not ended meanwhile."""
        return session in self._sessions.values() and not self._is_over(session)

    def end(self, session: Session) -> None:
        for name in [name for name, each in self._sessions.items() if each is session]:
            self._end(name)

    async def sweep(self) -> None:
        """Until cancelled: lets go of sessions that are over, with the connections that they hold."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for name in [name for name, each in self._sessions.items() if self._is_over(each)]:
                self._end(name)

    async def close(self) -> None:
        for name in list(self._sessions):
            self._end(name)
        await asyncio.gather(*self._ended, return_exceptions=True)

    def _is_over(self, session: Session) -> bool:
        now = self._clock()
        return session.over or now - session.seen > self._bounds.idle or now - session.began > self._bounds.longest

    def _end(self, name: str) -> None:
        closing = asyncio.create_task(self._sessions.pop(name).close())
        self._ended.add(closing)
        closing.add_done_callback(self._ended.discard)


def _name(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
