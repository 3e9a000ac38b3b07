"""What is in the table and yet does not pass packets, and the news that this, or backends' health, has changed."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from services.gateway_agent.table import Backend, Key, Service


class Difficulties:
    """Reasons by key; whoever waits is woken once for any number of changes."""

    def __init__(self) -> None:
        self._reasons: dict[Key, str] = {}
        self._health: set[str] = set()
        self._news = asyncio.Event()

    def judge(self, key: Key, reason: str | None) -> None:
        """What hinders the key now; None if nothing does."""
        before = self._reasons.pop(key, None)
        if reason is not None:
            self._reasons[key] = reason
        if reason != before:
            self._news.set()

    def clear(self, key: Key) -> None:
        self.judge(key, None)

    def all(self) -> Mapping[Key, str]:
        return dict(self._reasons)

    def note_health(self, services: Iterable[str]) -> None:
        """The health of these services' backends is another."""
        self._health.update(services)
        self._news.set()

    def take_health_news(self) -> frozenset[str]:
        """The services of which that was said since the last call."""
        news, self._health = frozenset(self._health), set()
        return news

    async def wait_for_news(self) -> None:
        await self._news.wait()
        self._news.clear()


def no_answer(service: Service, takers: Sequence[Backend]) -> str | None:
    """Why a service takes no new sessions; None as long as a backend answers that is not draining."""
    if takers:
        return None
    if not service.backends:
        return "it has no backends"
    silent = [str(backend.address) for backend in service.backends if not backend.draining]
    if not silent:
        return "all of its backends are draining"
    if len(silent) == 1:
        return f"backend {silent[0]} does not answer"
    return f"none of the backends {', '.join(silent)} answers"
