"""A figure: what was measured, what stood beside it in the same run, and by which method."""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.table import Table

BOOTSTRAPS, BOOTSTRAP_SEED = 1000, 1


@dataclass(frozen=True, slots=True)
class Figure:
    """`ratio` is `value` divided by what `compared_with` had in the same run; `low` and `high` enclose it.

    Of rounds, `value` and `ratio` are medians: each round measures both sides, one right after the other, so that a
    busy machine slows both. Its `low` and `high` are the smallest and the largest ratio of a round; of five rounds they
    enclose the true median with a confidence of 94 %. A latency is a quantile of samples taken by turns, and its
    interval is a bootstrap's, 95 %. `runs` counts rounds or samples. A figure that stands alone has no ratio.
    """

    name: str
    value: float
    unit: str
    compared_with: str
    ratio: float | None
    runs: int
    method: str
    low: float | None = None
    high: float | None = None


def compare(
    name: str, ours: Sequence[float], unit: str, *, method: str, other: str = "", theirs: Sequence[float] = ()
) -> Figure:
    """The figure of rounds: one number of ours and one of theirs from each."""
    value = rounded(median(ours))
    if not other:
        return Figure(name, value, unit, "", None, len(ours), method)
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    ratio, low, high = (rounded(number) for number in (median(ratios), min(ratios), max(ratios)))
    return Figure(name, value, unit, other, ratio, len(ratios), method, low, high)


def compare_quantiles(
    name: str, share: float, ours: Sequence[float], unit: str, *, method: str, other: str, theirs: Sequence[float]
) -> Figure:
    """The figure of samples that were taken by turns; the ratio is that of the two quantiles at `share` (0 to 1)."""
    draw = random.Random(BOOTSTRAP_SEED)  # noqa: S311 - it hides nothing
    drawn = sorted(
        quantile(draw.choices(ours, k=len(ours)), share) / quantile(draw.choices(theirs, k=len(theirs)), share)
        for _ in range(BOOTSTRAPS)
    )
    value, ratio = quantile(ours, share), quantile(ours, share) / quantile(theirs, share)
    low, high = quantile(drawn, 0.025), quantile(drawn, 0.975)
    value, ratio, low, high = map(rounded, (value, ratio, low, high))
    return Figure(name, value, unit, other, ratio, len(ours), method, low, high)


def rounded(number: float) -> float:
    """To four significant digits: the fifth is noise."""
    return float(f"{number:.4g}")


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def write(figures: Iterable[Figure], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")


def read(path: Path) -> list[Figure]:
    return [Figure(**each) for each in json.loads(path.read_text())]


def shown(value: float) -> str:
    """As people read it: 12,300 and 0.482, never 1.23e+04."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.4g}"


def interval(figure: Figure) -> str:
    return "" if figure.low is None or figure.high is None else f"{figure.low:.2f} - {figure.high:.2f}"


def table(figures: Iterable[Figure], title: str) -> Table:
    made = Table(title=title, title_justify="left")
    for heading in ("figure", "value", "unit", "ratio", "of the rounds", "rounds", "compared with"):
        is_text = heading in ("figure", "unit", "compared with")
        made.add_column(heading, justify="left" if is_text else "right", no_wrap=heading != "compared with")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        row = (figure.name, shown(figure.value), figure.unit, ratio, interval(figure), str(figure.runs))
        made.add_row(*row, figure.compared_with)
    return made
