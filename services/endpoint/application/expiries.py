"""When connections and drains end by themselves: kept in memory, read from the table after each start."""

import heapq
from collections.abc import Callable

from services.endpoint.application.cells import Cells
from services.endpoint.application.rows import Rows
from services.endpoint.application.streams import Streams, no_answer, on_our_own
from services.endpoint.domain.endpoint import Deleting
from services.endpoint.domain.endpoint_commands import Lapse
from services.endpoint.domain.facts import Facts
from services.endpoint.projections import CONNECTED, DRAINABLE, ENDPOINT
from services.endpoint.wire.endpoint import state_of
from services.endpoint.wire.stored import endpoint_stream


class Expiries:
    """What it remembers may be out of date, or be there twice: what is true is decided by the endpoint."""

    def __init__(self, streams: Streams, rows: Rows, cells: Cells, clock: Callable[[], int]) -> None:
        self._streams, self._rows, self._cells, self._clock = streams, rows, cells, clock
        self._soonest: list[tuple[int, str]] = []
        self._read = False

    def note(self, facts: Facts) -> None:
        """Remembers when the connection or its drain ends, if it does: what has a drain has ended."""
        if ends := facts.expires_at or facts.drain_until:
            heapq.heappush(self._soonest, (ends, facts.id))

    async def tick(self) -> None:
        """Ends each connection and drain whose time is over; one that could not be ended is tried again next time."""
        if not self._read:
            await self._read_all()
        while self._soonest and self._soonest[0][0] <= self._clock():
            soonest = heapq.heappop(self._soonest)  # before anything else comes in, which may be sooner
            try:
                await self._end(soonest[1])
            except BaseException:
                heapq.heappush(self._soonest, soonest)
                raise

    async def _end(self, endpoint: str) -> None:
        lapse = Lapse(self._clock())
        context = on_our_own("Lapse", lapse.at)
        outcome = await self._streams.endpoints.execute(endpoint_stream(endpoint), lapse, context, no_answer)
        if isinstance(outcome.state, Deleting):
            await self._cells.settle(outcome.state)

    async def _read_all(self) -> None:
        async for rows in self._rows.batches(ENDPOINT, states=CONNECTED + DRAINABLE):
            for row in rows:
                self.note(state_of(row.data).facts)
        self._read = True
