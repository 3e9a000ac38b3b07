"""What a command answers: the same facts for programs and for people."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from sidegate.cli import pager
from sidegate.cli.facts import Json
from sidegate.cli.outcome import Exit
from sidegate.cli.words import STYLES

UNBOUNDED_WIDTH = 100_000

Cell = str | Text
"""Words, which have a style of their own where they are some state's, or text that has one already."""


class Output(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    WIDE = "wide"


@dataclass(frozen=True, slots=True)
class View:
    """An answer. `text` makes what people see, wide or not (None: nothing); `remark` goes to stderr, for them.

    Where `verbatim` is set, it stands on stdout instead, to the letter, unless JSON is asked for.
    """

    facts: Json
    text: Callable[[bool], RenderableType | None]
    code: Exit = Exit.OK
    remark: str = ""
    verbatim: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """A table where its words fit beside each other; else a sheet for each row. Nothing is cut, no id is broken."""

    titles: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        drawn = _columns(self.titles, self.rows)
        if Measurement.get(console, options.update(max_width=UNBOUNDED_WIDTH), drawn).minimum <= options.max_width:
            yield drawn
            return
        for number, row in enumerate(self.rows):
            yield Group(*([""] * bool(number)), sheet(dict(zip(_distinct(self.titles), row, strict=True))))


def table(titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Rows:
    """Columns without lines, as wide as the terminal lets them be."""
    return Rows(titles, rows)


def _distinct(titles: Sequence[str]) -> list[str]:
    """A title that comes again says so: a sheet has each once."""
    return [title + " (2)" * (title in titles[:place]) for place, title in enumerate(titles)]


def _columns(titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        drawn.add_column(title.upper(), overflow="fold")
    for row in rows:
        drawn.add_row(*map(_styled, row))
    return drawn


def _styled(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(cell, STYLES.get(cell, ""))


def sheet(rows: Mapping[str, Cell]) -> Table:
    """One thing: a line for each field that says something."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    drawn.add_column(style="bold", no_wrap=True)
    drawn.add_column(overflow="fold")
    for title, cell in rows.items():
        if cell:
            drawn.add_row(title, _styled(cell))
    return drawn


def show(view: View, output: Output, *, paged: bool = False) -> None:
    """Prints the answer: on stdout what was asked for, on stderr the remark.

    With `paged`, what is longer than the terminal goes through the pager.
    """
    if output is Output.JSON:
        pager.write(json.dumps(view.facts, indent=2) + "\n", paged)
        return
    if view.remark:
        sys.stderr.write(view.remark + "\n")
    if view.verbatim:
        sys.stdout.write(view.verbatim)
    elif drawn := view.text(output is Output.WIDE):
        _print(drawn, paged)


def _print(drawn: RenderableType, paged: bool) -> None:
    console = Console(file=sys.stdout, highlight=False, markup=False)
    if console.is_terminal:
        with console.capture() as captured:
            console.print(drawn)
        pager.write(captured.get(), paged)
        return
    console.width = UNBOUNDED_WIDTH
    with console.capture() as captured:
        console.print(drawn)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
