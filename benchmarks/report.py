"""`python -m benchmarks.report`: makes docs/benchmarks.md and its plots from the figures that `make bench` has left."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import aims, figures, machine
from benchmarks.figures import Figure, interval, shown
from benchmarks.hindrances import HINDRANCES

HEAD = """# Benchmarks

Made by `make bench` and `make bench-docs`, which take about half an hour on a quiet machine with two processors and
need root; not to be edited. `make bench ARGS="--only commands stored"` measures parts (store, commands, stored, http,
past, latency, dataplane, packets, sessions, changes), `ARGS=--quick` is a look. Nearly every figure stands beside
something that everybody can have, measured in the same run and by turns with it: **trust the ratios**, for the absolute
numbers are those of one small machine that runs clients, servers and Sidegate at once. Nothing here is a test: no
figure can fail a build.

`ratio` is Sidegate's value divided by that of what it is compared with, the median of rounds that measure both one
right after the other. The interval is the smallest and the largest ratio of a round (five rounds enclose the true
median with a confidence of 94 %); that of a latency is a bootstrap's, 95 %. The aims that a run did not meet are at the
end, with what is known to hold them back; [design/speed.md](design/speed.md) tells where the time goes.
"""


BUSY = 1.0
"""Load average before a run above which its figures are those of something else, too."""


@dataclass(frozen=True, slots=True)
class Section:
    """The figures whose names end so, or begin so and do not end as those of another section."""

    file: str
    title: str
    plot: str
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...] = ()

    def of(self, all_figures: Sequence[Figure]) -> list[Figure]:
        return [figure for figure in all_figures if section_of(figure.name) is self]


SECTIONS = (
    Section("store", "Event store", "Events per second, beside the bare driver", ("store_", "verify")),
    Section(
        "past",
        "Reading the log",
        "Seconds for a million events, beside the driver's rows",
        ("past_",),
    ),
    Section(
        "commands",
        "Commands",
        "Durable commands by gRPC, beside an echo and beside appends without gRPC",
        ("commands_",),
    ),
    Section(
        "stored",
        "Many endpoints",
        "Milliseconds where 100,000 endpoints are stored, beside 1,000",
        ("stored_",),
    ),
    Section(
        "http",
        "HTTPS API",
        "The HTTPS API beside the gRPC that it calls",
        ("http_",),
    ),
    Section("console", "Console", "Milliseconds until pages are there, in a real browser", ("console_",)),
    Section(
        "latency",
        "Latency of the whole system",
        "Milliseconds, beside the least that any such system must do",
        ("create_", "accept_", "delete_", "commit_"),
    ),
    Section(
        "dataplane",
        "Data plane",
        "Through an endpoint, beside other ways to the same server",
        ("bulk_", "round_trips", "connections"),
    ),
    Section(
        "packets",
        "Cost of a packet",
        "What a packet costs the gateway, beside other ways",
        ("packet_cost",),
    ),
    Section(
        "sessions",
        "Many endpoints and sessions in the data plane",
        "Full, beside an empty gateway",
        ("sessions_", "fill_rate"),
        ("_100k_endpoints", "_1m_sessions", "_10m_sessions"),
    ),
    Section(
        "changes",
        "Changes to the data plane",
        "Where 100,000 endpoints are, beside 16",
        ("endpoint_", "reject_cut", "agent_start", "restart_loss"),
    ),
)


def section_of(name: str) -> Section | None:
    by_end = next((section for section in SECTIONS if name.endswith(section.suffixes)), None)
    return by_end or next((section for section in SECTIONS if name.startswith(section.prefixes)), None)


def page(found: Sequence[Figure], facts: Mapping[str, str]) -> str:
    parts = [HEAD, *_warning(facts), *_machine(facts)]
    for section in SECTIONS:
        if mine := section.of(found):
            parts += [f"\n## {section.title}\n", f"![{section.plot}](benchmarks/{section.file}.svg)\n"]
            parts += [*_table(mine), "", *_methods(mine)]
    return "\n".join([*parts, *_unmet(found)]) + "\n"


def _warning(facts: Mapping[str, str]) -> Iterator[str]:
    if float(facts.get("load before", 0)) > BUSY:
        yield "**The machine was busy with other work during this run: do not quote it, run it again.**\n"


def _machine(facts: Mapping[str, str]) -> Iterator[str]:
    yield "| | |\n|---|---|"
    for name, value in facts.items():
        yield f"| {name} | {value} |"


def _table(mine: Sequence[Figure]) -> Iterator[str]:
    yield "| figure | value | ratio | interval | runs | compared with |\n|---|---:|---:|---:|---:|---|"
    for figure in mine:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        value = f"{shown(figure.value)} {figure.unit}"
        yield f"| {figure.name} | {value} | {ratio} | {interval(figure)} | {figure.runs} | {figure.compared_with} |"


def _methods(mine: Sequence[Figure]) -> Iterator[str]:
    """What is said of one figure once, and what is said of all of them once for all."""
    told: dict[str, dict[str, None]] = {}
    for figure in mine:
        for sentence in figure.method.split(". "):
            told.setdefault(f"{sentence.rstrip('.')}.", {})[figure.name] = None
    everybody = len({figure.name for figure in mine})
    for sentence, names in told.items():
        yield f"- {sentence}" if len(names) == everybody else f"- {', '.join(names)}: {sentence}"


def _unmet(found: Sequence[Figure]) -> Iterator[str]:
    missed, aimed = aims.unmet(found), aims.about(found)
    yield f"\n## Aims that this run did not meet\n\n{len(missed)} of {len(aimed)}.\n"
    if not missed:
        yield "None."
        return
    yield "| figure | aim | found | what holds it |\n|---|---|---:|---|"
    for aim, figure in missed:
        why = next((text for names, text in HINDRANCES.items() if figure.name.startswith(names)), "")
        yield f"| {figure.name} | {aim.told(figure)} | {shown(aim.found(figure))} | {why} |"


def write(found: Sequence[Figure], facts: Mapping[str, str], docs: Path) -> None:
    from benchmarks import plots  # noqa: PLC0415 # matplotlib is there only after make setup-bench

    for section in SECTIONS:
        if mine := section.of(found):
            plots.ratios(mine, section.plot, docs / "benchmarks" / f"{section.file}.svg")
    (docs / "benchmarks.md").write_text(page(found, facts))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    if not arguments.json.exists():
        print(f"{arguments.json} is not there: make bench", file=sys.stderr)
        return 1
    write(figures.read(arguments.json), machine.read(machine.beside(arguments.json)), arguments.docs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
