"""Gateways of all cells, for the operator."""

from collections.abc import Callable, Sequence

from services.endpoint.application.cells import Cells
from services.endpoint.domain.gateway import Member
from services.endpoint.domain.traffic_board import Board
from services.endpoint.domain.traffic_rates import rate
from services.endpoint.domain.traffic_seen import SeenGateway


class Gateways:
    def __init__(self, cells: Cells, board: Board, clock: Callable[[], int]) -> None:
        self._cells, self._board, self._clock = cells, board, clock

    def listed(self, cell: str, after: str, limit: int) -> Sequence[SeenGateway]:
        """Those of the cell, or of all where it is empty, behind an id, in order."""
        members = sorted(self._cells.members(), key=lambda member: member.id)
        wanted = [each for each in members if each.id > after and cell in ("", each.cell)]
        return [self._seen(each) for each in wanted[:limit]]

    def _seen(self, member: Member) -> SeenGateway:
        tally = self._board.gateway(member.id)
        heard_at = max(self._cells.heard_at(member.id), tally.heard_at if tally else 0)
        current = tally is not None and tally.is_heard(self._clock())
        came = [(tally.passing.total, tally.passing.interval)] if tally and current else []
        return SeenGateway(member, heard_at, tally, rate(came))
