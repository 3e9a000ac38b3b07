"""How much is tried at random: little in the suite, as much as there is time for in `make soak`. Prints its seeds.

A failing run is told step by step as it was found. To make it shorter would take minutes, and hide what it met.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.support.chaos.run import dice

ROUND = 20
"""Histories in one round of a long run: each has a seed of its own."""


def machine_on(kind: str, machine: type[RuleBasedStateMachine]) -> type[RuleBasedStateMachine]:
    """The machine with its service's log on that store."""
    return type(f"{machine.__name__}On{kind.title()}", (machine,), {"kind": kind})


def run(machine: type[RuleBasedStateMachine], *, histories: int, steps: int, seconds: float = 0) -> int:
    """So many histories, and then more until the time is over; gives how many there were."""
    chance, ends, done = dice(), time.monotonic() + seconds, 0
    while not done or time.monotonic() < ends:
        number = chance.getrandbits(32)
        if seconds:
            print(f"{machine.__name__}: {done} histories of up to {steps} steps; seed {number}", flush=True)
        with quietly():
            _try(seed(number)(machine), histories if not done else ROUND, steps)
        done += histories if not done else ROUND
    return done


def _try(machine: type[RuleBasedStateMachine], histories: int, steps: int) -> None:
    how = settings(
        max_examples=histories,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=how)


@contextmanager
def quietly() -> Iterator[None]:
    """Without thousands of calls in what a failing run tells."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        yield
    finally:
        structlog.reset_defaults()
