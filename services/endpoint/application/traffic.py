"""What has passed for endpoints and services: gateways tell, owners read."""

import heapq
from collections.abc import Callable, Collection, Mapping, Sequence

from services.common.errors import NotFound
from services.common.principal import Principal
from services.endpoint.application.cells import Cells
from services.endpoint.application.rows import Rows
from services.endpoint.domain.traffic_board import Board
from services.endpoint.domain.traffic_rates import Rate
from services.endpoint.domain.traffic_seen import Connected, Line, Seen, SeenService
from services.endpoint.domain.traffic_tallies import EndpointTally, Owned, Tally, Told
from services.endpoint.projections import DELETED
from services.endpoint.wire.traffic import owned_of


class TrafficReports:
    """What gateways tell."""

    def __init__(self, board: Board, rows: Rows, cells: Cells, clock: Callable[[], int]) -> None:
        self._board, self._rows, self._cells, self._clock = board, rows, cells, clock

    async def take(self, gateway: str, told: Told) -> bool:
        """Takes in a report; False where the session is not known."""
        owned: Mapping[str, Owned] = {}
        if self._cells.holds(gateway, told.session) and (unknown := self._board.unknown(told)):
            owned = await self._owned(unknown)
        if not self._cells.holds(gateway, told.session):  # it may have joined again meanwhile
            return False
        self._board.take(gateway, self._cells.readers()[gateway], told, owned, self._clock())
        return True

    async def _owned(self, endpoints: Collection[str]) -> Mapping[str, Owned]:
        rows = await self._rows.endpoints(endpoints)
        return {id_: owned_of(row) for id_, row in rows.items() if row.state != DELETED}


class Traffic:
    """What owners read."""

    def __init__(self, board: Board, rows: Rows, clock: Callable[[], int]) -> None:
        self._board, self._rows, self._clock = board, rows, clock

    async def of_endpoint(self, endpoint: str, by: Principal, span: str) -> Seen:
        """For the endpoint's owner. Raises NotFound for anybody else."""
        row = (await self._rows.endpoints([endpoint])).get(endpoint)
        if row is None or row.project != str(by):
            raise NotFound("endpoint", endpoint)
        return self._seen(owned_of(row), span)

    async def of_connection(self, service: str, endpoint: str, by: Principal, span: str) -> SeenService:
        """For the service's owner. Raises NotFound for anybody else."""
        row = (await self._rows.endpoints([endpoint])).get(endpoint)
        if row is None or (row.parent, row.counterpart) != (service, str(by)):
            raise NotFound("connection", endpoint)
        of = owned_of(row)
        seen = self._seen(of, span)
        return SeenService(seen, [Connected(of, seen.began_at, seen.total, seen.rate)])

    def of_service(self, service: str, by: Principal, span: str, limit: int) -> SeenService:
        """Nothing of a service that is another's, or of which nothing was seen."""
        now, board = self._clock(), self._board
        tally = board.service(service, str(by))
        if tally is None:
            return SeenService(Seen(board.began_at, Tally(), Rate(), board.of_services.read("", span, now)), ())
        most = heapq.nsmallest(limit, tally.endpoints.values(), key=_most_bytes_first)
        series = board.of_services.read(service, span, now)
        return SeenService(
            Seen(board.began_at, tally, board.rate_of_service(service, now), series),
            [Connected(each.of, self._began(each.of), each, self._rate(each.of, now)) for each in most],
            len(tally.endpoints) - len(most),
        )

    def passing(self, by: Principal, after: str, limit: int) -> Sequence[Line]:
        """What passes now for the project's endpoints and connections behind an id, in order."""
        now = self._clock()
        return [self._line(tally, str(by), now) for tally in self._board.passing(str(by), after, limit, now)]

    def _line(self, tally: EndpointTally, project: str, now: int) -> Line:
        of = tally.of
        return Line(of, of.owner == project, of.provider == project, tally.sessions, self._rate(of, now))

    def _seen(self, of: Owned, span: str) -> Seen:
        now, total = self._clock(), self._board.endpoint(of.endpoint) or Tally()
        series = self._board.of_endpoints.read(of.endpoint, span, now)
        return Seen(self._began(of), total, self._rate(of, now), series)

    def _began(self, of: Owned) -> int:
        return max(self._board.began_at, of.created_at)

    def _rate(self, of: Owned, now: int) -> Rate:
        return self._board.rate_of_endpoint(of.endpoint, now)


def _most_bytes_first(tally: EndpointTally) -> tuple[int, str]:
    return -(tally.passed.bytes_in + tally.passed.bytes_out), tally.of.endpoint
