"""Whether a history of concurrent operations could have happened one at a time (Wing, Gong and Lowe's search)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

S = TypeVar("S")
O = TypeVar("O")  # noqa: E741 - what is asked of the object, with its answer


@dataclass(frozen=True, slots=True)
class Operation(Generic[O]):
    """Something that took effect at one moment between `called` and `returned`; if that is `inf`, perhaps never."""

    called: float
    returned: float
    what: O


def is_linearizable(history: Iterable[Operation[O]], initial: S, step: Callable[[S, O], Iterable[S]]) -> bool:
    """`step` gives the states that an operation may leave a state in, none if its answer does not fit the state."""
    operations = sorted(history, key=lambda operation: operation.called)
    wanted = sum(1 << index for index, operation in enumerate(operations) if operation.returned < inf)
    stack: list[tuple[int, S]] = [(0, initial)]
    seen = {(0, initial)}
    while stack:
        done, state = stack.pop()
        if done & wanted == wanted:
            return True
        for index in _next(operations, done):
            for after in step(state, operations[index].what):
                reached = (done | 1 << index, after)
                if reached not in seen:
                    seen.add(reached)
                    stack.append(reached)
    return False


def _next(operations: Sequence[Operation[O]], done: int) -> Iterator[int]:
    """Those that may come next: no other one that is left had returned before they were called."""
    soonest = inf
    first = (~done & done + 1).bit_length() - 1
    for index in range(first, len(operations)):
        if done >> index & 1:
            continue
        if operations[index].called > soonest:
            return
        soonest = min(soonest, operations[index].returned)
        yield index
