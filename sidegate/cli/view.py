"""What a command answers: the same facts for programs and for people."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from sidegate.cli.facts import Json
from sidegate.cli.outcome import Exit
from sidegate.cli.words import STYLES

UNBOUNDED_WIDTH = 100_000


class Output(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    WIDE = "wide"


@dataclass(frozen=True, slots=True)
class View:
    """An answer. `text` makes what people see, wide or not (None: nothing); `remark` goes to stderr, for them."""

    facts: Json
    text: Callable[[bool], RenderableType | None]
    code: Exit = Exit.OK
    remark: str = ""


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Columns without lines; on a narrow terminal a cell folds, nothing is cut off."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        drawn.add_column(title.upper(), overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
    return drawn


def sheet(rows: Mapping[str, str]) -> Table:
    """One thing: a line for each field that says something."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    drawn.add_column(style="bold", no_wrap=True)
    drawn.add_column(overflow="fold")
    for title, cell in rows.items():
        if cell:
            drawn.add_row(title, Text(cell, STYLES.get(cell, "")))
    return drawn


def show(view: View, output: Output) -> None:
    """Prints the answer: on stdout what was asked for, on stderr the remark."""
    if output is Output.JSON:
        sys.stdout.write(json.dumps(view.facts, indent=2) + "\n")
        return
    if view.remark:
        sys.stderr.write(view.remark + "\n")
    if drawn := view.text(output is Output.WIDE):
        _print(drawn)


def _print(drawn: RenderableType) -> None:
    console = Console(file=sys.stdout, highlight=False, markup=False)
    if console.is_terminal:
        console.print(drawn)
        return
    console.width = UNBOUNDED_WIDTH
    with console.capture() as captured:
        console.print(drawn)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
