"""The benchmark of commands runs: a short look at a whole system and what it is compared with, whatever the figures."""

from benchmarks import commands
from benchmarks.plan import Plan
from tests.support.standalone import require_root


async def test_a_quick_look_at_commands_leaves_every_figure() -> None:
    require_root()
    plan = Plan(rounds=1, seconds=0.1, samples=1)
    found = await commands.measure(plan, lambda _: None, databases=["sqlite"])
    pairs = [f"commands_{in_flight}_sqlite" for in_flight in (1, 64, 256) for _ in ("echo", "bare")]
    alone = [f"commands_{in_flight}_sqlite_p99" for in_flight in (1, 64, 256)]
    assert sorted(figure.name for figure in found) == sorted([*pairs, *alone, "commands_cpu_sqlite"])
    assert all(figure.value > 0 and figure.ratio for figure in found)
