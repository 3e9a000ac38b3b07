"""The benchmark runs: a short look at the store on both databases and at its past, whatever the figures are."""

from pathlib import Path

from benchmarks import figures, machine, past
from benchmarks.__main__ import main
from benchmarks.plan import Plan

NAMES = [
    *(f"store_append_{in_flight}_{database}" for database in ("sqlite", "postgresql") for in_flight in (1, 64, 256)),
    "store_scan_sqlite",
    "store_scan_postgresql",
    "verify",
]


def test_a_quick_look_at_the_store_leaves_every_figure_and_what_the_machine_was(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    assert main(["--quick", "--only", "store", "--seconds", "0.1", "--json", str(path)]) == 0
    found = figures.read(path)
    assert sorted(figure.name for figure in found) == sorted(NAMES)
    for figure in found:
        assert figure.value > 0
        assert figure.runs == 1
        assert bool(figure.ratio) == bool(figure.compared_with)
    assert machine.read(machine.beside(path))["kernel"].startswith("Linux")


async def test_a_quick_look_at_the_past_replays_a_log_to_an_equal_read_model() -> None:
    found = await past.measure(Plan(rounds=1, seconds=0.1, samples=4, events=10_000), lambda _: None)
    names = [f"past_{what}_{database}" for what in ("read_model", "replay") for database in ("postgresql", "sqlite")]
    names += ["past_state_p50", "past_state_p99"]
    assert sorted(figure.name for figure in found) == names
    assert all(figure.value > 0 for figure in found)
