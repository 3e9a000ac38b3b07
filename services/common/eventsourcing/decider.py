"""A decider: an aggregate as three values, all of them pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Generic, TypeVar

from services.common.eventsourcing.store import Constraints

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Decider(Generic[C, S, E]):
    """`decide` says what a command makes happen, `evolve` what an event makes of a state.

    `constraints` says what an event means to other streams, from the state before it: claims, releases, counters
    without limits. It is a function of events alone, so claims and counters can be rebuilt from the log.
    """

    initial: S
    decide: Callable[[C, S], Sequence[E]]
    evolve: Callable[[S, E], S]
    constraints: Callable[[S, E], Constraints] = lambda _state, _event: Constraints()

    def fold(self, events: Iterable[E], state: S | None = None) -> S:
        return reduce(self.evolve, events, self.initial if state is None else state)
