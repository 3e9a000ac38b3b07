"""`python -m benchmarks`: measures, prints a table, writes the figures as JSON. Ctrl-C leaves nothing behind."""

import argparse
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import (
    changes,
    commands,
    console,
    dataplane,
    front,
    latency,
    machine,
    packets,
    past,
    sessions,
    store,
    stored,
)
from benchmarks.figures import Figure, table, write
from benchmarks.plan import Plan, Step
from benchmarks.processes import Failed
from services.common.program import run
from services.common.telemetry.logs import configure_logging
from tests.support import postgres

INTERRUPTED = 130
WIDTH = 120  # of tables that go into a file


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to measure, in so many steps."""

    title: str
    steps: Callable[[Plan], int]
    measure: Callable[[Plan, Step], Awaitable[Sequence[Figure]]]
    packets: bool


SUBJECTS: Mapping[str, Subject] = {
    "store": Subject("Event store", store.steps, store.measure, packets=False),
    "commands": Subject("Commands", commands.steps, commands.measure, packets=True),
    "stored": Subject("Many endpoints", stored.steps, stored.measure, packets=True),
    "http": Subject("HTTPS API", front.steps, front.measure, packets=True),
    "console": Subject("Console", console.steps, console.measure, packets=True),
    "past": Subject("Reading the log", past.steps, past.measure, packets=False),
    "latency": Subject("Latency of the whole system", latency.steps, latency.measure, packets=True),
    "dataplane": Subject("Data plane", dataplane.steps, dataplane.measure, packets=True),
    "packets": Subject("Cost of a packet", packets.steps, packets.measure, packets=True),
    "sessions": Subject("Full data plane", sessions.steps, sessions.measure, packets=True),
    "changes": Subject("Changes to the data plane", changes.steps, changes.measure, packets=True),
}


class Lines:
    """What a bar shows on a terminal, for a file: a line for each step, but not more than one a second."""

    def __init__(self, console: Console) -> None:
        self._console, self._next = console, 0.0

    def say(self, text: str) -> None:
        if not self._console.is_terminal and time.monotonic() >= self._next:
            self._next = time.monotonic() + 1.0
            self._console.print(text, highlight=False)


@dataclass(slots=True)
class Session:
    """One run of the bench; `whole` is whether it came to its end."""

    plan: Plan
    subjects: Sequence[str]
    console: Console
    figures: list[Figure] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    whole: bool = False

    async def measure(self) -> None:
        """One subject after another; one that fails takes none of the others with it."""
        for name in self.subjects:
            try:
                figures = await self._subject(SUBJECTS[name])
            except Exception as failure:  # whatever it is, what the others have measured is worth keeping
                self.failures.append(f"{name}: {failure if isinstance(failure, Failed) else repr(failure)}")
                continue
            self.console.print(table(figures, SUBJECTS[name].title))
            self.figures += figures
        self.whole = True

    async def _subject(self, subject: Subject) -> Sequence[Figure]:
        lines = Lines(self.console)
        columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(subject.title, total=subject.steps(self.plan))

            def step(what: str) -> None:
                progress.update(task, description=f"{subject.title}: {what}")
                progress.advance(task)
                lines.say(f"{subject.title}: {what}")

            return await subject.measure(self.plan, step)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look of a few minutes; not to be quoted")
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS), help="these subjects")
    parser.add_argument("--rounds", type=int, help="how often each comparison is made (5; 1 with --quick)")
    parser.add_argument("--seconds", type=float, help="of each measurement of a rate (2; 0.5 with --quick)")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where the figures go")
    return parser.parse_args(words)


def planned(arguments: argparse.Namespace) -> Plan:
    plan = Plan.quick() if arguments.quick else Plan.whole()
    given = {name: getattr(arguments, name) for name in ("rounds", "seconds") if getattr(arguments, name)}
    return replace(plan, **given)


def main(words: Sequence[str] | None = None) -> int:
    """0, or 1 where a subject could not be measured, 2 where the caller may not measure, 130 after Ctrl-C."""
    arguments, console = parse(words), Console(width=None if sys.stdout.isatty() else WIDTH)
    if os.geteuid() != 0 and any(SUBJECTS[name].packets for name in arguments.only):
        print("packets need root: sudo make bench, or --only store", file=sys.stderr)
        return 2
    facts = machine.facts()
    session = Session(planned(arguments), arguments.only, console)
    run(session.measure())
    if not session.whole:
        console.print("stopped; nothing is left behind")
        return INTERRUPTED
    for failure in session.failures:
        print(f"bench: {failure}", file=sys.stderr)
    write(session.figures, arguments.json)
    machine.write(facts, machine.beside(arguments.json))
    console.print(f"{len(session.figures)} figures in {arguments.json}")
    return 1 if session.failures else 0


if __name__ == "__main__":
    configure_logging("bench", "error")
    try:
        sys.exit(main())
    finally:
        postgres.remove_shared()
