"""Asking gateways to try endpoints out: they listen on a call of their own, and answer by another."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass

from services.endpoint.domain.reachability import Finding
from services.endpoint.domain.traced import Opening

MOST_WAITING = 64
"""Probes that wait for one gateway to take them; more are not asked."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A wish to have an endpoint tried out within so many seconds, or, with an opening, to have that traced."""

    id: str
    endpoint: str
    seconds: float
    opening: Opening | None = None


Waiting = asyncio.Queue[Probe | None]


class Probes:
    """Which gateways listen, and whose answers are waited for. In memory: a test does not outlive its call."""

    def __init__(self) -> None:
        self._listening: dict[str, Waiting] = {}
        self._awaited: dict[tuple[str, str], asyncio.Future[Finding]] = {}

    async def of(self, gateway: str) -> AsyncGenerator[Probe, None]:
        """What the gateway is to try out, until it listens anew or the program ends."""
        mine: Waiting = asyncio.Queue(MOST_WAITING + 1)
        if before := self._listening.get(gateway):
            _end(before)
        self._listening[gateway] = mine
        try:
            while (probe := await mine.get()) is not None:
                yield probe
        finally:
            if self._listening.get(gateway) is mine:
                del self._listening[gateway]

    async def ask(
        self,
        gateways: Collection[str],
        endpoint: str,
        seconds: float,
        patience: float,
        opening: Opening | None = None,
    ) -> Mapping[str, Finding]:
        """What those found who answered within `patience` seconds."""
        asked = {}
        for gateway in gateways:
            waiting = self._listening.get(gateway)
            if waiting is None or waiting.qsize() >= MOST_WAITING:
                continue
            probe = Probe(secrets.token_hex(16), endpoint, seconds, opening)
            waiting.put_nowait(probe)
            asked[gateway, probe.id] = asyncio.get_running_loop().create_future()
        self._awaited.update(asked)
        try:
            if asked:
                await asyncio.wait(asked.values(), timeout=patience)
        finally:
            for key in asked:
                del self._awaited[key]
        return {gateway: answer.result() for (gateway, _), answer in asked.items() if answer.done()}

    def answer(self, gateway: str, id_: str, finding: Finding) -> None:
        """Takes in an answer; one that nobody waits for changes nothing."""
        awaited = self._awaited.get((gateway, id_))
        if awaited is not None and not awaited.done():
            awaited.set_result(finding)

    def close(self) -> None:
        """Ends every gateway's call."""
        for waiting in self._listening.values():
            _end(waiting)


def _end(waiting: Waiting) -> None:
    """What still waits is dropped: whoever asked for it has been told, or will be, that there is no answer."""
    while not waiting.empty():
        waiting.get_nowait()
    waiting.put_nowait(None)
