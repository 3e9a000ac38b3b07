"""Which endpoints need more source addresses, as their gateways say. Kept in memory: agents report anew."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple


class Place(NamedTuple):
    """An endpoint on one gateway."""

    endpoint: str
    gateway: str


class Shortage(Enum):
    """Why an endpoint does not have what it needs, in words for its owner."""

    UNDER_WAY = "it is being given more source addresses"
    NONE_FREE = "no source address is free for more sessions: new ones may be refused"
    AT_MOST = "it has as many source addresses as there can be: new sessions may be refused"


@dataclass(frozen=True, slots=True)
class Want:
    """How many a gateway needs in all, and since when it has had fewer (nanoseconds since the epoch)."""

    number: int
    since: int
    shortage: Shortage = Shortage.UNDER_WAY


class Demand:
    """`added` counts the addresses that were given since this program started."""

    def __init__(self) -> None:
        self._wants: dict[str, dict[str, Want]] = {}
        self.added = 0

    def note(self, place: Place, number: int, at: int) -> bool:
        """Takes in how many a gateway says that it needs; 0: it has enough. Whether that is for somebody to look at."""
        before = self.of(place)
        if number <= 0:
            self.settled(place)
            return False
        if before is not None and before.number == number:
            return before.shortage is Shortage.UNDER_WAY
        since = at if before is None else before.since
        self._wants.setdefault(place.endpoint, {})[place.gateway] = Want(number, since)
        return True

    def of(self, place: Place) -> Want | None:
        return self._wants.get(place.endpoint, {}).get(place.gateway)

    def short(self, place: Place, shortage: Shortage) -> bool:
        """It cannot be given more for now; whether that is news."""
        want = self.of(place)
        if want is None or want.shortage is shortage:
            return False
        self._wants[place.endpoint][place.gateway] = replace(want, shortage=shortage)
        return True

    def given(self, place: Place, number: int) -> None:
        """Where it is not enough, its gateway says so again as soon as it has them."""
        self.added += number
        self.settled(place)

    def settled(self, place: Place) -> None:
        wants = self._wants.get(place.endpoint, {})
        wants.pop(place.gateway, None)
        if not wants:
            self._wants.pop(place.endpoint, None)

    def forget_gateway(self, gateway: str) -> None:
        """What it said before is void."""
        for endpoint in tuple(self._wants):
            self.settled(Place(endpoint, gateway))

    def forget_endpoint(self, endpoint: str) -> None:
        self._wants.pop(endpoint, None)

    def lacking(self, shortage: Shortage) -> tuple[Place, ...]:
        return tuple(place for place, want in self._all() if want.shortage is shortage)

    def counts(self) -> Mapping[Shortage, int]:
        """How many places lack some, by why."""
        return Counter(want.shortage for _, want in self._all())

    def worst(self, endpoint: str) -> Want | None:
        """Of the wants of its gateways, the one to tell of; None where it has what it needs."""
        wants = tuple(self._wants.get(endpoint, {}).values())
        return max(wants, key=lambda want: (want.shortage is not Shortage.UNDER_WAY, -want.since), default=None)

    def _all(self) -> Iterator[tuple[Place, Want]]:
        # Also asked by the thread of a scrape, while others write: copies are made at once.
        for endpoint, wants in tuple(self._wants.items()):
            for gateway, want in tuple(wants.items()):
                yield Place(endpoint, gateway), want
