"""Tries endpoints out, and traces packets, when the control plane asks, and tells it what was found."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from services.gateway_agent.control_plane import ControlPlane
from services.gateway_agent.dataplane.port import Dataplane, DataplaneError
from services.gateway_agent.desired import Desired
from services.gateway_agent.facts import ENDPOINT_NOT_MADE, Facts
from services.gateway_agent.pace import Pace
from services.gateway_agent.reach import Found, Probe
from services.gateway_agent.table import Key, Kind
from sidegate.errors import SidegateError

MOST_AT_ONCE = 8
"""Tests under way; a probe beyond them stays unanswered, as if the gateway were not there."""


class Prober:
    """Changes nothing: what it finds is told once, and not kept."""

    def __init__(
        self,
        control: ControlPlane,
        dataplane: Dataplane,
        *,
        desired: Desired,
        facts: Facts,
        position: Callable[[], int],
        pace: Pace,
    ) -> None:
        self._control = control
        self._dataplane = dataplane
        self._desired = desired
        self._facts = facts
        self._position = position
        self._pace = pace

    async def run(self) -> None:
        """Listens until cancelled, again and again, however the control plane goes and comes."""
        failures = 0
        while True:
            await self._control.membership()
            try:
                async with asyncio.TaskGroup() as under_way:
                    await self._listen(under_way)
                failures = 0
            except* SidegateError:
                failures += 1
            floor, cap = self._pace.reconnect
            await asyncio.sleep(min(cap, floor * 2 ** min(failures, 16)))

    async def _listen(self, under_way: asyncio.TaskGroup) -> None:
        running: set[asyncio.Task[None]] = set()
        async with aclosing(self._control.probes()) as probes:
            async for probe in probes:
                if len(running) < MOST_AT_ONCE:
                    task = under_way.create_task(self._try(probe))
                    running.add(task)
                    task.add_done_callback(running.discard)

    async def _try(self, probe: Probe) -> None:
        await self._control.answer_probe(probe, await self._found(Key(Kind.ENDPOINT, probe.endpoint), probe))

    async def _found(self, endpoint: Key, probe: Probe) -> Found:
        known, fact = self._desired.known(endpoint), self._facts.of(endpoint)
        generation, hindrance = known.version if known else 0, fact.reason if fact else ""
        reach, trace = None, None
        try:
            if probe.opening is None:
                reach = await self._dataplane.reach(endpoint.id, probe.seconds)
            else:
                trace = await self._dataplane.trace(endpoint.id, probe.opening)
        except DataplaneError as error:
            hindrance = hindrance or (str(error) if probe.opening else "")  # what is traced only the operator reads
        hindrance = hindrance or ("" if reach or trace else ENDPOINT_NOT_MADE)
        return Found(self._position(), generation, hindrance, reach, trace)
