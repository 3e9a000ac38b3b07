"""What is in the table and yet does not pass packets, and the news that this has changed."""

import asyncio
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address

from services.gateway_agent.table import Key, Service


class Difficulties:
    """Reasons by key; whoever waits is woken once for any number of changes."""

    def __init__(self) -> None:
        self._reasons: dict[Key, str] = {}
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

    async def wait_for_news(self) -> None:
        await self._news.wait()
        self._news.clear()


def no_answer(service: Service, ready: Sequence[IPv4Address]) -> str | None:
    """Why a service passes no packets; None as long as one backend answers."""
    if ready:
        return None
    if not service.backends:
        return "it has no backends"
    if len(service.backends) == 1:
        return f"backend {service.backends[0]} does not answer"
    return f"none of the backends {', '.join(map(str, service.backends))} answers"
