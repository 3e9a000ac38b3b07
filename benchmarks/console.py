"""The console, in a real browser: figures of each of its rooms, on systems of their own."""

from collections.abc import Sequence

from benchmarks import console_lists, console_overview, console_past
from benchmarks.figures import Figure
from benchmarks.plan import Plan, Step

PARTS = (console_overview, console_lists, console_past)


def steps(plan: Plan) -> int:
    return sum(part.steps(plan) for part in PARTS)


async def measure(plan: Plan, step: Step) -> Sequence[Figure]:
    return [figure for part in PARTS for figure in await part.measure(plan, step)]
