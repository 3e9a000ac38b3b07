"""What the registry asks the endpoint service."""

from collections.abc import Collection, Sequence
from typing import Protocol


class Endpoints(Protocol):
    """Each question raises Unavailable if the endpoint service is away."""

    async def known(self, endpoint_ids: Collection[str]) -> set[str]:
        """Those of the endpoints that are there, in any state but deleted."""

    async def blockers(self, service_id: str) -> Sequence[str]:
        """The connections of a service that are live: they stand in the way of its deletion."""
