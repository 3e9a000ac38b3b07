"""The figures that `make bench` writes: their form, their ratios, and the page that is made of them."""

import json
import random
from pathlib import Path
from statistics import median

import pytest

from benchmarks import aims, changes, figures, report
from benchmarks.figures import Figure, compare, compare_quantiles
from benchmarks.flood import own_cost
from benchmarks.plan import Plan
from benchmarks.processes import Failed
from benchmarks.sessions import BYTES, CHUNKS, MEASURED, SPARE, Beside, Size, size_of

FORM: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "value": float,
    "unit": str,
    "compared_with": str,
    "ratio": (float, type(None)),
    "runs": int,
    "method": str,
    "low": (float, type(None)),
    "high": (float, type(None)),
}

CONNECTIONS = compare("connections", [90, 110, 100], "1/s", method="So.", other="plain routing", theirs=[100, 100, 200])
ALONE = compare("verify", [10.0, 30.0, 20.0], "events/s", method="Thus.")


def test_the_file_is_a_list_of_objects_of_one_form(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    figures.write([CONNECTIONS, ALONE], path)
    found = json.loads(path.read_text())
    assert isinstance(found, list)
    for each in found:
        assert each.keys() == FORM.keys()
        for name, kind in FORM.items():
            assert isinstance(each[name], kind), name
    assert figures.read(path) == [CONNECTIONS, ALONE]


def test_a_ratio_is_the_median_of_the_rounds_ratios_and_lies_between_its_ends() -> None:
    assert CONNECTIONS.value == 100
    assert (CONNECTIONS.ratio, CONNECTIONS.low, CONNECTIONS.high) == (0.9, 0.5, 1.1)
    assert CONNECTIONS.runs == 3


def test_a_figure_that_stands_alone_has_no_ratio() -> None:
    assert (ALONE.value, ALONE.compared_with, ALONE.ratio, ALONE.low) == (20.0, "", None, None)


def test_rounds_of_which_one_side_is_missing_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare("connections", [1.0, 2.0], "1/s", method="", other="nginx", theirs=[1.0])


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = random.Random(7).sample(range(1000), 200)
    assert figures.quantile(values, 0.5) in values
    assert abs(figures.quantile(values, 0.5) - median(values)) < 10
    assert figures.quantile(values, 0.99) == sorted(values)[198]
    assert figures.quantile([3.0], 0.99) == 3.0


def test_the_interval_of_a_latency_encloses_its_ratio_and_is_the_same_each_time() -> None:
    draw = random.Random(11)
    ours, theirs = ([draw.gammavariate(shape, 1.0) for _ in range(200)] for shape in (4.0, 2.0))
    made = [
        compare_quantiles("create_to_first_byte_p50", 0.5, ours, "ms", method="", other="a floor", theirs=theirs)
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert made[0].ratio is not None
    assert made[0].low is not None
    assert made[0].high is not None
    assert made[0].low < made[0].ratio < made[0].high


def test_numbers_are_shown_as_people_read_them() -> None:
    assert [figures.shown(number) for number in (123_456.0, 12.345, 0.04821)] == ["123,456", "12.35", "0.04821"]


def test_the_page_has_every_figure_its_method_and_the_aims_that_were_missed() -> None:
    slow = Figure("create_to_first_byte_p50", 12.5, "ms", "a floor", 2.0, 200, "From here. In one terminal.", 1.9, 2.1)
    page = report.page([CONNECTIONS, ALONE, slow], {"kernel": "Linux 6.1"})
    assert "| kernel | Linux 6.1 |" in page
    for row in (
        "| connections | 100 1/s | 0.90 | 0.50 - 1.10 | 3 | plain routing |",
        "| verify | 20 events/s |  |  | 3 |  |",
        "| create_to_first_byte_p50 | 12.5 ms | 2.00 | 1.90 - 2.10 | 200 | a floor |",
        "- From here.",
        "- In one terminal.",
    ):
        assert f"\n{row}\n" in page
    _, missed = page.split("## Aims that this run did not meet")
    assert "| create_to_first_byte_p50 | at most 10 ms | 12.5 |" in missed
    assert "| connections | at least 1.05 x plain routing | 0.9 |" in missed


def test_a_page_of_a_busy_machine_says_that_it_is_not_to_be_quoted() -> None:
    assert "do not quote it" in report.page([ALONE], {"load before": "8.53"})
    assert "do not quote it" not in report.page([ALONE], {"load before": "0.20"})


def test_every_aim_is_for_a_figure_of_a_section() -> None:
    assert [aim.name for aim in aims.AIMS if report.section_of(aim.name) is None] == []


def test_a_figure_of_a_full_gateway_is_not_among_those_of_an_empty_one() -> None:
    sections = {name: report.section_of(name) for name in ("round_trips", "round_trips_1m_sessions", "packet_cost")}
    assert [section.file for section in sections.values() if section] == ["dataplane", "sessions", "packets"]


def test_a_packet_costs_a_gateway_what_it_takes_more_than_at_its_door() -> None:
    assert own_cost([1800.0], [1100.0, 1300.0]) == 600.0
    slow = own_cost([1800.0, 2400.0, 9000.0], [1200.0, 1200.0, 1800.0, 1800.0])
    assert slow == 900.0, "each slice beside its own floors, and one that was disturbed does not count"


def test_a_full_gateway_is_as_full_as_the_memory_lets_it_be_and_fills_in_equal_chunks() -> None:
    plan = Plan.whole()
    assert size_of(plan, free=64 << 30) == Size(plan.endpoints, plan.sessions)
    little = size_of(plan, free=4 << 30)
    assert 0 < little.sessions < plan.sessions
    assert little.sessions % CHUNKS == 0
    assert 2 * (little.sessions + SPARE) * BYTES <= 4 << 30
    assert size_of(plan, free=0).sessions > 0


def test_figures_of_a_full_gateway_stand_beside_an_empty_one_round_by_round() -> None:
    found = Beside()
    for name in MEASURED:
        found.full[name] += [95.0, 110.0, 99.0]
        found.empty[name] += [100.0, 100.0, 100.0]
    made = list(found.figures("1m_sessions", "all of them"))
    assert [figure.name for figure in made] == [f"{name}_1m_sessions" for name in MEASURED]
    assert {(figure.ratio, figure.low, figure.high, figure.compared_with) for figure in made} == {
        (0.99, 0.95, 1.1, aims.EMPTY)
    }
    assert all("all of them" in figure.method for figure in made)


def test_a_crowd_that_was_never_measured_is_no_figure() -> None:
    with pytest.raises(Failed, match="packet_cost was never measured with all of them"):
        list(Beside().figures("1m_sessions", "all of them"))


def test_each_change_is_a_median_and_a_tail_beside_the_same_where_few_are() -> None:
    took = {(what, full): [1.0, 2.0, 3.0] for what in changes.CHANGES for full in (True, False)}
    made = list(changes.varied(took, present=100_000))
    assert [figure.name for figure in made] == [
        f"endpoint_{what}_{quantile}" for what in ("add", "change", "remove") for quantile in ("p50", "p99")
    ]
    assert {(figure.ratio, figure.runs, figure.compared_with) for figure in made} == {(1.0, 3, changes.FEW)}


def test_what_restarts_have_lost_is_counted_together_and_meets_its_aim_only_with_none() -> None:
    start, loss = changes.restart_figures([2.0, 4.0, 3.0], lost=1, present=10)
    assert (start.name, start.value, start.runs) == ("agent_start_100k", 3.0, 3)
    assert (loss.value, loss.runs) == (1.0, 3)
    assert {aim.name for aim, _ in aims.unmet([start, loss])} == {"restart_loss"}
    assert aims.unmet(list(changes.restart_figures([2.0], lost=0, present=10))) == []
