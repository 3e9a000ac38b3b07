"""More source addresses for endpoints whose sessions need them: at most twice as many as before for each report."""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from services.common.eventsourcing.store import AlreadyClaimed
from services.endpoint.application.sources import Sources
from services.endpoint.application.streams import Streams, no_answer, on_our_own
from services.endpoint.domain import source_addresses
from services.endpoint.domain.demand import Demand, Place, Shortage
from services.endpoint.domain.endpoint import Accepted, Creating
from services.endpoint.domain.endpoint_commands import AddSources
from services.endpoint.domain.facts import Facts
from services.endpoint.wire.stored import endpoint_stream

RETRY_SECONDS = 30
"""How often those are looked at again for whom no address was free."""

SECOND = 1_000_000_000
log = structlog.get_logger(__name__)


class Growth:
    def __init__(self, streams: Streams, sources: Sources, demand: Demand, clock: Callable[[], int]) -> None:
        self._streams = streams
        self._sources = sources
        self._demand = demand
        self._clock = clock
        self._growing = asyncio.Lock()
        self._retry_at = 0

    async def grow(self, places: Iterable[Place]) -> None:
        """Gives what was asked for, as far as it may be given; what is not is told by the endpoint's condition."""
        async with self._growing:  # one report is answered once
            await asyncio.gather(*map(self._grow, places))

    async def tick(self) -> None:
        """Addresses become free again."""
        if (now := self._clock()) >= self._retry_at:
            self._retry_at = now + RETRY_SECONDS * SECOND
            await self.grow(self._demand.lacking(Shortage.NONE_FREE))

    async def _grow(self, place: Place) -> None:
        want = self._demand.of(place)
        state, _ = await self._streams.endpoints.load(endpoint_stream(place.endpoint))
        if want is None or not isinstance(state, Creating | Accepted):
            self._demand.settled(place)
            return
        held = len(state.facts.sources_of(place.gateway))
        if number := source_addresses.growth(held, want.number):
            await self._add(place, state.facts, held, number)
        elif 0 < held < want.number:
            self._lack(place, Shortage.AT_MOST)
        else:
            self._demand.settled(place)

    async def _add(self, place: Place, facts: Facts, held: int, number: int) -> None:
        """Of two that take the same address one is refused: it looks again."""
        while True:
            taken = await self._sources.taken(facts.placement.provider_vpc)
            leases = source_addresses.more(place.endpoint, place.gateway, number, taken)
            if not leases:
                self._lack(place, Shortage.NONE_FREE)
                return
            command = AddSources(self._clock(), leases, held)
            context = on_our_own("AddSources", command.at)
            try:
                await self._streams.endpoints.execute(endpoint_stream(place.endpoint), command, context, no_answer)
            except AlreadyClaimed:
                continue
            self._demand.given(place, len(leases))
            return

    def _lack(self, place: Place, shortage: Shortage) -> None:
        if self._demand.short(place, shortage):
            log.warning(
                "an endpoint's sessions need more source addresses than there are",
                endpoint=place.endpoint,
                gateway=place.gateway,
                why=shortage.name.lower(),
            )
