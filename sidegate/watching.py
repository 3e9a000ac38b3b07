"""Watching: answers as they come, across interruptions of any kind, without loss or repetition."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

from sidegate import errors

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
SLOW = "SLOW_WATCHER"
FULL = "TOO_MANY_WATCHERS"


class Told(Protocol):
    """What every answer of a watch has."""

    position: int
    log_id: str
    epoch: int


T = TypeVar("T", bound=Told)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a watch begins or goes on: after a position of a log. None is from now on, 0 from the oldest there is.

    `log_id` and `epoch` name the log; where they are given, another log is refused instead of misread.
    """

    after: int | None = None
    log_id: str = ""
    epoch: int = 0


Begin = Place | int | None
"""A place, a position alone, or None for now."""

Interrupted = Callable[[errors.SidegateError], None]
"""Is told why a watch was interrupted, before it goes on."""


def _quietly(_: errors.SidegateError) -> None:
    pass


class Watch(Generic[T]):
    """An async iterator over the answers of a watch, for ever; leave it with `async with` or `aclose`.

    An answer is all that one command changed, never a part of it; one without changes is a bookmark. The first one
    comes at once: what is listed after it is as new as it, or newer. `place` is where to go on, by another watch too.

    Where the other side is away, or cuts off one who reads slowly, it goes on by itself. It raises Unavailable only
    before the first answer or once its client is closed, OutOfRange for a place that is too old or yet to come,
    WrongState for one of another log.
    """

    def __init__(
        self, ask: Callable[[Place], AsyncGenerator[T, None]], begin: Begin, interrupted: Interrupted | None = None
    ) -> None:
        self.place = begin if isinstance(begin, Place) else Place(begin)
        self._ask, self._interrupted = ask, interrupted or _quietly
        self._begun = False
        self._failures = 0
        self._answers = self._for_ever()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        return await anext(self._answers)

    async def aclose(self) -> None:
        await self._answers.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _for_ever(self) -> AsyncGenerator[T, None]:
        while True:
            try:
                async with aclosing(self._ask(self.place)) as answers:
                    async for told in answers:
                        self._note(told)
                        yield told
            except errors.SidegateError as error:
                if not self._goes_on_after(error):
                    raise
                await self._pause(error)

    def _note(self, told: T) -> None:
        self.place = Place(told.position, told.log_id, told.epoch)
        self._begun, self._failures = True, 0

    def _goes_on_after(self, error: errors.SidegateError) -> bool:
        if error.reason == errors.CLOSED:
            return False
        return error.reason == SLOW or (self._begun and (isinstance(error, errors.Unavailable) or error.reason == FULL))

    async def _pause(self, error: errors.SidegateError) -> None:
        self._failures += 1
        self._interrupted(error)
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 8))
        await asyncio.sleep(random.uniform(0.2, 1.0) * longest)  # noqa: S311 - it spreads load, it hides nothing
