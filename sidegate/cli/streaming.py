"""Answers that do not end: a line for each, printed as it comes, until Ctrl-C."""

import json
import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from sidegate import errors
from sidegate.cli.facts import Json
from sidegate.cli.outcome import printable
from sidegate.cli.view import Output
from sidegate.watching import Told, Watch

T = TypeVar("T", bound=Told)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened. `more` is what `-o wide` adds to the cells."""

    facts: Json
    cells: Sequence[str]
    more: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Running:
    """Lines, for ever, and what stands above them: a title and a width for each cell but the last ones."""

    titles: Mapping[str, int]
    lines: AsyncGenerator[Line, None]
    more: Mapping[str, int]


async def print_lines(running: Running, output: Output) -> None:
    """For programs an object on each line. Ends where the reader of our output has gone away."""
    titles = running.titles if output is Output.TABLE else {**running.titles, **running.more}
    try:
        if output is not Output.JSON and titles:
            _say(_columns([title.upper() for title in titles], titles.values()))
        async with aclosing(running.lines) as lines:
            async for line in lines:
                cells = [*line.cells, *(line.more if output is Output.WIDE else ())]
                _say(json.dumps(line.facts) if output is Output.JSON else _columns(cells, titles.values()))
    except BrokenPipeError:
        let_go_of_stdout()


def let_go_of_stdout() -> None:
    """Nobody reads it any more: what Python still holds for it must have somewhere to go when the program ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _columns(cells: Sequence[str], widths: Iterable[int]) -> str:
    return "  ".join(printable(cell).ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Interruptions:
    """Says on stderr that a watch was interrupted, once, and that it goes on."""

    def __init__(self, what: str) -> None:
        self._what, self._away = what, False

    def __call__(self, error: errors.SidegateError) -> None:
        if not self._away:
            self._away = True
            sys.stderr.write(f"sidegate: {printable(f'{self._what} was interrupted, trying again: {error.text}')}\n")

    def over(self) -> None:
        if self._away:
            self._away = False
            sys.stderr.write(f"sidegate: {self._what} goes on where it was\n")


async def lines_of(
    what: str, watch: Callable[[Interruptions], Watch[T]], read: Callable[[T], Sequence[Line]]
) -> AsyncGenerator[Line, None]:
    """The lines of a watch's answers; of its interruptions a word on stderr."""
    interruptions = Interruptions(what)
    async with watch(interruptions) as answers:
        async for answer in answers:
            interruptions.over()
            for line in read(answer):
                yield line
