"""What a scenario tells: steps, what was seen on the wire, and the table at its end; kept, and shown as it happens."""

import sys
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 200


@dataclass(frozen=True)
class Observation:
    """One thing that was asked, several times if it is quick."""

    asked: str
    origin: str
    """From where: who asked."""
    through: str
    answer: str
    milliseconds: float
    """The median."""
    seen: str
    """The source address that the server saw; empty where no server saw anything."""


@dataclass
class Told:
    """What belongs to one step."""

    sentence: str
    lines: list[str] = field(default_factory=list)
    wire: list[str] = field(default_factory=list)


@dataclass
class Record:
    """Keeps everything and shows nothing."""

    name: str = ""
    title: str = ""
    drawing: str = ""
    steps: list[Told] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    topology: str = ""
    begun: float = field(default_factory=monotonic)

    def open(self, name: str, title: str, drawing: str) -> None:
        self.name, self.title, self.drawing = name, title, drawing

    def step(self, sentence: str) -> None:
        self.steps.append(Told(sentence))

    def tell(self, line: str) -> None:
        self.steps[-1].lines.append(line)

    def wire(self, line: str) -> None:
        self.steps[-1].wire.append(line)

    def observe(self, observation: Observation) -> None:
        self.observations.append(observation)

    def drawn(self, topology: str) -> None:
        """The running system, as it draws itself at the end."""
        self.topology = topology.rstrip()

    def close(self) -> None:
        """The last step is done."""

    def failed(self, why: str) -> None:
        """It ends before its end."""

    def as_data(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "drawing": self.drawing,
            "steps": [asdict(step) for step in self.steps],
            "observations": [asdict(observation) for observation in self.observations],
            "topology": self.topology,
            "seconds": round(monotonic() - self.begun, 1),
        }


def a_console() -> Console:
    """As wide as the terminal; where there is none, as wide as tables like to be."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH)


class Screen(Record):
    """Shows it to a person; with colours, and with what goes on below, on a terminal only."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console or a_console()
        self._status = self._console.status("...")

    def open(self, name: str, title: str, drawing: str) -> None:
        super().open(name, title, drawing)
        self._console.print(Text(f"\n{title}\n", style="bold"))
        self._console.print(Text(drawing.strip("\n")), soft_wrap=True)

    def step(self, sentence: str) -> None:
        super().step(sentence)
        if self._console.is_terminal:
            self._status.update(sentence)
            self._status.start()
        self._print(f"\n{len(self.steps)}. {sentence}", "bold")

    def tell(self, line: str) -> None:
        super().tell(line)
        self._print(f"   {line}")

    def wire(self, line: str) -> None:
        if not self.steps[-1].wire:
            self._print("   on the wire:", "dim")
        super().wire(line)
        self._print(f"     {line}", "dim")

    def observe(self, observation: Observation) -> None:
        super().observe(observation)
        asked = f"{observation.origin}: {observation.asked}"
        self._print(f"   ✓ {asked} → {observation.answer} ({observation.milliseconds:.2f} ms)", "green")

    def drawn(self, topology: str) -> None:
        super().drawn(topology)
        self._print("\n   drawn from the running system by `sidegate topology`:", "bold")
        for line in self.topology.splitlines():
            self._print(f"   {line}", "dim")

    def close(self) -> None:
        self._status.stop()
        self._console.print()
        self._console.print(table(self.observations))

    def failed(self, why: str) -> None:
        self._status.stop()
        self._print(f"   ✗ {why}", "bold red")

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)


class Progress(Record):
    """Says on stderr where it is, for what is on stdout is for programs."""

    def step(self, sentence: str) -> None:
        super().step(sentence)
        print(f"{len(self.steps)}. {sentence}", file=sys.stderr)

    def failed(self, why: str) -> None:
        print(f"failed: {why}", file=sys.stderr)


def table(observations: list[Observation]) -> Table:
    made = Table("asked", "from", "through", "answer", title="What was seen", title_justify="left")
    made.add_column("median ms", justify="right", no_wrap=True)
    made.add_column("source seen", no_wrap=True)
    for each in observations:
        took = f"{each.milliseconds:.2f}"
        made.add_row(*map(Text, (each.asked, each.origin, each.through, each.answer, took, each.seen or "-")))
    return made
