"""Claims and counters as they stand: what the rules over more than one stream are checked against."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from services.common.eventsourcing.store import (
    AlreadyClaimed,
    Claim,
    Constraints,
    Count,
    LimitReached,
    NotClaimed,
)

Counter = tuple[str, str]
"""A counter's kind and key."""


@dataclass(slots=True)
class Holdings:
    """Who holds each claim, and the value of each counter that is not zero."""

    claims: dict[Claim, str] = field(default_factory=dict)
    counters: dict[Counter, int] = field(default_factory=dict)

    def apply(self, stream: str, constraints: Constraints) -> None:
        """Applies all of a stream's constraints, or none: raises AlreadyClaimed, NotClaimed or LimitReached."""
        holders = self._claimed(stream, constraints)
        values = self._counted(constraints.counts)
        for claim, holder in holders.items():
            if holder is None:
                self.claims.pop(claim, None)
            else:
                self.claims[claim] = holder
        for counter, value in values.items():
            if value == 0:
                self.counters.pop(counter, None)
            else:
                self.counters[counter] = value

    def _claimed(self, stream: str, constraints: Constraints) -> Mapping[Claim, str | None]:
        """The claims that change hands, None for those that nobody holds afterwards."""
        changed: dict[Claim, str | None] = {}

        def holder(claim: Claim) -> str | None:
            return changed[claim] if claim in changed else self.claims.get(claim)

        for claim in constraints.releases:
            if holder(claim) == stream:
                changed[claim] = None
        for claim in constraints.requires:
            if holder(claim) is None:
                raise NotClaimed(claim)
        for claim in constraints.claims:
            other = holder(claim)
            if other is not None and other != stream:
                raise AlreadyClaimed(claim, other)
            changed[claim] = stream
        return changed

    def _counted(self, counts: tuple[Count, ...]) -> Mapping[Counter, int]:
        values: dict[Counter, int] = {}
        for count in counts:
            counter = (count.kind, count.key)
            value = values.get(counter, self.counters.get(counter, 0))
            if count.limit is not None and value + count.delta > count.limit:
                raise LimitReached(count, value)
            values[counter] = value + count.delta
        return values


def both(first: Constraints, second: Constraints) -> Constraints:
    """A stream's constraints and those that follow them, as one that leaves the same behind.

    A claim that is released again is not asked for at all.
    """
    still_claimed = tuple(claim for claim in first.claims if claim not in second.releases)
    still_required = tuple(claim for claim in second.requires if claim not in first.claims)
    return replace(first, claims=still_claimed) + replace(second, requires=still_required)
