"""What each cell's gateways are told of the resolvers of VPCs, kept as the registry has them."""

from collections.abc import Callable, Collection

from services.common.eventsourcing.store import Conflict
from services.endpoint.application.registry import Sources
from services.endpoint.application.rows import Rows
from services.endpoint.application.streams import Streams, no_answer, on_our_own
from services.endpoint.domain.resolvers import Resolve, ResolverForwarded
from services.endpoint.projections import FORWARDED, RESOLVER
from services.endpoint.wire.stored import resolver_stream

Place = tuple[str, str]
"""A cell and a VPC."""


class Resolvers:
    """Knows which VPCs have one, since when (ns since the epoch): of endpoints' names it is half of the story."""

    def __init__(self, streams: Streams, rows: Rows, clock: Callable[[], int]) -> None:
        self._streams, self._rows, self._clock = streams, rows, clock
        self._since: dict[Place, int] = {}
        self._begun: set[Place] = set()

    async def begin(self) -> None:
        """Knows what cells have been told, by their log."""
        async for rows in self._rows.batches(RESOLVER):
            self._begun.update((row.partition, row.parent) for row in rows)
            self._since |= {(row.partition, row.parent): row.updated for row in rows if row.state == FORWARDED}

    def since(self, cell: str, vpc: str) -> int | None:
        """Since when gateways of the cell are told to answer in the VPC; None where they are not."""
        return self._since.get((cell, vpc))

    async def versions(self, places: Collection[Place]) -> dict[Place, int]:
        """To be read before the registry is asked, so that an older answer cannot come after a newer one."""
        return {place: await self._version(place) for place in places}

    async def renew(self, versions: dict[Place, int], sources: Sources) -> frozenset[str]:
        """Tells cells of the resolvers that VPCs have where gateways reach them. Gives the VPCs of which one was told
        something else in the meantime."""
        overtaken = set()
        for (cell, vpc), version in versions.items():
            resolver = sources.resolvers.get(vpc) if (vpc, cell) in sources.targets else None
            if (resolver or version) and not await self._tell(Resolve(cell, vpc, resolver), version):
                overtaken.add(vpc)
        return frozenset(overtaken)

    async def _version(self, place: Place) -> int:
        """Most VPCs never had a resolver: of those nothing is read."""
        return (await self._streams.resolvers.load(resolver_stream(*place)))[1] if place in self._begun else 0

    async def _tell(self, command: Resolve, expected_version: int) -> bool:
        now, place = self._clock(), (command.cell, command.vpc)
        self._begun.add(place)
        context = on_our_own("FollowRegistry", now, expected_version)
        try:
            outcome = await self._streams.resolvers.execute(resolver_stream(*place), command, context, no_answer)
        except Conflict:
            return False
        if isinstance(outcome.state, ResolverForwarded) and outcome.state.resolver is not None:
            self._since.setdefault(place, now)
        else:
            self._since.pop(place, None)
        return True
