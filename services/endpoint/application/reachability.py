"""Trying out whether an endpoint's packets pass, for its owner and for the service's."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.common.errors import NotFound, QuotaReached
from services.common.identity.attempts import Buckets
from services.common.principal import Principal
from services.endpoint.application.cells import Cells
from services.endpoint.application.probes import Probes
from services.endpoint.application.streams import Streams
from services.endpoint.domain import reachability
from services.endpoint.domain.endpoint import Absent, Accepted, Creating, Deleted, Known
from services.endpoint.domain.endpoint_decisions import is_provider
from services.endpoint.domain.reachability import Finding, Port, PortOutcome, Step
from services.endpoint.domain.traced import Opening
from services.endpoint.wire.stored import endpoint_stream

PROBE_SECONDS = 2.0
PATIENCE_SECONDS = 3.5
"""For a gateway's answer; less than what a caller waits for ours."""

MOST_AT_ONCE = 64
MINUTE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of a test; `ports` is only for the service's owner."""

    steps: tuple[Step, ...]
    ports: Mapping[Port, PortOutcome]

    @property
    def passed(self) -> bool:
        return reachability.passed(self.steps)


class Reachability:
    """Tests, as many at once and for each project in a minute as there may be."""

    def __init__(self, streams: Streams, cells: Cells, probes: Probes, per_minute: int) -> None:
        self._streams = streams
        self._cells = cells
        self._probes = probes
        self._per_minute = per_minute
        self._left = Buckets(per_minute, MINUTE_SECONDS / per_minute)
        self._running = 0

    async def of_endpoint(self, endpoint: str, by: Principal) -> Tested:
        """For the endpoint's owner. Raises NotFound for anybody else."""
        state = await self.state(endpoint)
        if state is None or state.facts.owner != by:
            raise NotFound("endpoint", endpoint)
        found = await self._ask(state, by)
        return Tested(reachability.for_consumer(state, self.joined(state), found), {})

    async def of_connection(self, service: str, endpoint: str, by: Principal) -> Tested:
        """For the service's owner. Raises NotFound for anybody else."""
        state = await self.state(endpoint)
        if state is None or not is_provider(state.facts, service, by):
            raise NotFound("connection", endpoint)
        found = await self._ask(state, by)
        steps = reachability.for_provider(state, self.joined(state), found)
        return Tested(steps, reachability.worst(found.values()))

    async def state(self, endpoint: str) -> Known | None:
        """What there is to be tested; None for what was never there, or is no more."""
        state, _ = await self._streams.endpoints.load(endpoint_stream(endpoint))
        return None if isinstance(state, Absent | Deleted) else state

    def joined(self, state: Known) -> frozenset[str]:
        return self._cells.joined(state.facts.placement.cell)

    async def _ask(self, state: Known, by: Principal) -> Mapping[str, Finding]:
        return await self.ask(state, by, self.joined(state)) if isinstance(state, Creating | Accepted) else {}

    async def ask(
        self, state: Known, by: Principal, gateways: Collection[str], opening: Opening | None = None
    ) -> Mapping[str, Finding]:
        """What gateways found who answered in time. Raises QuotaReached; the operator may ask as often as he likes."""
        if not by.is_operator and not self._left.take(str(by)):
            text = f"project {by.project} may test {self._per_minute} times a minute: try again in a few seconds"
            raise QuotaReached("TOO_MANY_TESTS", text)
        if self._running >= MOST_AT_ONCE:
            raise QuotaReached("TOO_MANY_TESTS", "too many tests are under way: try again in a few seconds")
        self._running += 1
        try:
            return await self._probes.ask(gateways, state.facts.id, PROBE_SECONDS, PATIENCE_SECONDS, opening)
        finally:
            self._running -= 1
