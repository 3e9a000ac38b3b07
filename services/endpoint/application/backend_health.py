"""How backends answer health checks, for those who publish them."""

from collections.abc import Mapping

from services.common.principal import Principal
from services.endpoint.application.cells import Cells
from services.endpoint.application.rows import Rows
from services.endpoint.domain.backend_health import Backends
from services.endpoint.projections import ENDPOINT, LIVE


class BackendHealths:
    def __init__(self, rows: Rows, cells: Cells) -> None:
        self._rows, self._cells = rows, cells

    async def of(self, service: str, by: Principal) -> Mapping[str, Backends]:
        """What each gateway finds, by its id; nothing of a service that is another's.

        Whose a service is, its endpoints tell; and one without endpoints is not asked.
        """
        found = await self._rows.counts(ENDPOINT, [service], str(by), LIVE)
        return self._cells.health(service) if found.get(service) else {}
