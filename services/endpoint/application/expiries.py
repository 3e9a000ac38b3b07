"""When connections end by themselves: kept in memory, read from the table after each start."""

import heapq
from collections.abc import Callable

from services.endpoint.application.rows import Rows
from services.endpoint.application.streams import Streams, no_answer, on_our_own
from services.endpoint.domain.endpoint import Facts
from services.endpoint.domain.endpoint_commands import Lapse
from services.endpoint.projections import CONNECTED, ENDPOINT
from services.endpoint.wire.endpoint import state_of
from services.endpoint.wire.stored import endpoint_stream


class Expiries:
    """What it remembers may be out of date, or be there twice: what is true is decided by the endpoint."""

    def __init__(self, streams: Streams, rows: Rows, clock: Callable[[], int]) -> None:
        self._streams, self._rows, self._clock = streams, rows, clock
        self._soonest: list[tuple[int, str]] = []
        self._read = False

    def note(self, facts: Facts) -> None:
        """Remembers when the connection ends, if it does."""
        if facts.expires_at:
            heapq.heappush(self._soonest, (facts.expires_at, facts.id))

    async def tick(self) -> None:
        """Ends every connection whose time is over. One that could not be ended is tried again at the next look."""
        if not self._read:
            await self._read_all()
        while self._soonest and self._soonest[0][0] <= self._clock():
            _, endpoint = self._soonest[0]
            lapse = Lapse(self._clock())
            context = on_our_own("Lapse", lapse.at)
            await self._streams.endpoints.execute(endpoint_stream(endpoint), lapse, context, no_answer)
            heapq.heappop(self._soonest)

    async def _read_all(self) -> None:
        async for rows in self._rows.batches(ENDPOINT, states=CONNECTED):
            for row in rows:
                self.note(state_of(row.data).facts)
        self._read = True
