"""What is to be done soon: kept in memory only, since a start does all of it anyway, and twice does no harm."""

import asyncio
from dataclasses import dataclass, field

from services.endpoint.domain.demand import Place


@dataclass(frozen=True, slots=True)
class Errands:
    """Services and VPCs to ask the registry about; (cell, gateway) pairs whose endpoints need source addresses, and
    places where sessions need more of them.
    """

    services: set[str] = field(default_factory=set)
    vpcs: set[str] = field(default_factory=set)
    newcomers: set[tuple[str, str]] = field(default_factory=set)
    growing: set[Place] = field(default_factory=set)


class Agenda:
    """Collects errands, and wakes whoever runs them."""

    def __init__(self) -> None:
        self._errands = Errands()
        self._news = asyncio.Event()

    def recheck(self, *, service: str, vpcs: tuple[str, ...]) -> None:
        """What a cell has just begun to use may have changed before anybody listened."""
        self._errands.services.add(service)
        self._errands.vpcs.update(vpcs)
        self._news.set()

    def welcome(self, cell: str, gateway: str) -> None:
        self._errands.newcomers.add((cell, gateway))
        self._news.set()

    def grow(self, place: Place) -> None:
        self._errands.growing.add(place)
        self._news.set()

    def take(self) -> Errands:
        """All errands, which are off the agenda then."""
        taken, self._errands = self._errands, Errands()
        self._news.clear()
        return taken

    def put_back(self, errands: Errands) -> None:
        """They could not be done: later, then."""
        self._errands.services.update(errands.services)
        self._errands.vpcs.update(errands.vpcs)
        self._errands.newcomers.update(errands.newcomers)
        self._errands.growing.update(errands.growing)
        self._news.set()

    async def wait(self) -> None:
        """Returns when something is on it."""
        await self._news.wait()
