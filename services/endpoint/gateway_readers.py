"""The consumers that gateways read their cells' events from: made for each, since they may make none."""

from services.common.identity.nats import rights
from services.common.messaging import subjects
from services.common.messaging.connection import Connection
from services.common.messaging.readers import Round, keep, live
from services.common.messaging.stream import ENDPOINT
from services.endpoint.application.cells import Cells


class GatewayReaders(Round):
    """Serves every gateway that was not retired; to be nudged when one has joined."""

    def __init__(self, cells: Cells) -> None:
        super().__init__(self._serve)
        self._cells = cells

    async def _serve(self, connection: Connection) -> bool:
        wanted = {
            rights.gateway(cell, gateway): subjects.of_cell(cell).subject
            for gateway, cell in self._cells.readers().items()
        }
        for stream in (await live(connection, ENDPOINT)).values():
            await keep(connection, stream, rights.GATEWAY, wanted)
            return True
        return not wanted
