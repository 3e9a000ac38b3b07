"""Plots of ratios with their intervals. The same figures give the same bytes, so that a change shows what changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from benchmarks.figures import Figure

SETTINGS: dict[Any, Any] = {"svg.hashsalt": "sidegate", "svg.fonttype": "none", "font.size": 9}
UNDATED = {"Date": None, "Creator": None}
COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#8f5fa8")
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
ROW, REST, WIDTH = 0.27, 1.2, 7.5
"""Inches."""


def ratios(figures: Sequence[Figure], title: str, path: Path) -> None:
    """A row for each figure that has a ratio; the line is where both sides are equal."""
    rows = [figure for figure in reversed(figures) if figure.ratio]
    others = list(dict.fromkeys(figure.compared_with for figure in reversed(rows)))
    with mpl.rc_context(SETTINGS):
        drawing = Drawing(figsize=(WIDTH, REST + ROW * len(rows)), layout="constrained")
        axes = drawing.add_subplot()
        for place, figure in enumerate(rows):
            _draw(axes, place, figure, COLOURS[others.index(figure.compared_with) % len(COLOURS)])
        axes.set_title(title, loc="left")
        axes.set_yticks(range(len(rows)), [_label(figure, len(others)) for figure in rows])
        _scale(axes, rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing.savefig(path, format="svg", metadata=UNDATED)


def _draw(axes: Axes, place: int, figure: Figure, colour: str) -> None:
    ratio, low, high = (number or figure.ratio or 1.0 for number in (figure.ratio, figure.low, figure.high))
    axes.plot([low, high], [place, place], color=colour, linewidth=2, alpha=0.5, solid_capstyle="butt")
    axes.plot([ratio], [place], "o", color=colour, markersize=5)
    axes.annotate(
        f"{ratio:.2f}", (ratio, place), (0, 4), textcoords="offset points", ha="center", fontsize=7, color="#444444"
    )


def _label(figure: Figure, others: int) -> str:
    is_short = others > 1 and len(figure.compared_with) < 30
    return f"{figure.name} : {figure.compared_with}" if is_short else figure.name


def _scale(axes: Axes, rows: Sequence[Figure]) -> None:
    ends = [end for figure in rows for end in (figure.ratio, figure.low, figure.high) if end]
    low, high = min([*ends, 0.8]) * 0.85, max([*ends, 1.25]) * 1.15
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("ratio, with the interval around it")
    axes.axvline(1.0, color="#777777", linewidth=0.9)
    axes.grid(axis="x", color="#e5e5e5")
    axes.set_axisbelow(True)
