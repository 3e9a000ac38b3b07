"""What a decider makes of a command: events, the states they leave, and what they mean to other streams."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from services.common.eventsourcing.decider import Decider
from services.common.eventsourcing.holdings import both
from services.common.eventsourcing.store import Constraints, Count

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Decision(Generic[S, E]):
    """`events` are pairs of an event and the state that it leaves; `state` is the last of these."""

    state: S
    events: tuple[tuple[E, S], ...] = ()
    constraints: Constraints = field(default_factory=Constraints)

    def limited(self, limits: Mapping[str, int]) -> "Decision[S, E]":
        """With upper bounds for the counters that it raises, by their kind."""
        counts = tuple(_limited(count, limits) for count in self.constraints.counts)
        return replace(self, constraints=replace(self.constraints, counts=counts))


def decide(decider: Decider[C, S, E], command: C, state: S) -> Decision[S, E]:
    decision: Decision[S, E] = Decision(state)
    for event in decider.decide(command, state):
        meaning = decider.constraints(decision.state, event)
        after = decider.evolve(decision.state, event)
        decision = Decision(after, (*decision.events, (event, after)), both(decision.constraints, meaning))
    return decision


def _limited(count: Count, limits: Mapping[str, int]) -> Count:
    if count.delta <= 0 or count.kind not in limits:
        return count
    return replace(count, limit=limits[count.kind])
