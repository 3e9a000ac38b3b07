"""`python -m services.standalone.logs`: shows what the programs of a standalone say, and follows them until Ctrl-C."""

import os
import sys
import time
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.standalone.data_directory import is_held
from services.standalone.logs.files import LogTails
from services.standalone.logs.lines import Choice, Line, shown

LOOK_SECONDS = 0.2
NOTHING_RUNS = "nothing runs on {data}: `make up` starts Sidegate; --data-dir names another directory"

Level = StrEnum("Level", ["DEBUG", "INFO", "WARNING", "ERROR"])


class Screen:
    """Where lines go: coloured on a terminal, as they stand in the files with `as_json`."""

    def __init__(self, choice: Choice, *, as_json: bool) -> None:
        self._choice, self._as_json = choice, as_json
        self._console = Console(highlight=False, soft_wrap=True)

    def show(self, lines: Iterable[Line], newest: int = 0) -> None:
        """The lines that were chosen, the newest of them only where a number says so."""
        chosen = [line for line in lines if self._choice.takes(line)]
        for line in chosen[-newest:]:
            if self._as_json:
                sys.stdout.write(f"{line.raw}\n")
            else:
                self._console.print(shown(line))
        sys.stdout.flush()


def logs(
    *,
    data_dir: Annotated[Path, typer.Option(envvar="SIDEGATE_DATA_DIR", help="The directory of the standalone.")] = Path(
        "data"
    ),
    program: Annotated[
        list[str] | None, typer.Option(help="Only registry, endpoint, gateway, nats or standalone; once for each.")
    ] = None,
    level: Annotated[Level, typer.Option(help="Only what matters at least so much.")] = Level.DEBUG,
    request_id: Annotated[str, typer.Option(metavar="ID", help="Only lines of this request, or beginning of it.")] = "",
    trace_id: Annotated[str, typer.Option(metavar="ID", help="Only lines of this trace, or beginning of it.")] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many that are there; 0 for all.")] = 50,
    follow: Annotated[bool, typer.Option(help="Go on with what comes, until Ctrl-C.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Lines as they stand in the files, for programs.")] = False,
) -> None:
    """Show the logs of all programs, in order of time."""
    tails, screen = LogTails(data_dir), Screen(Choice(program or (), level, request_id, trace_id), as_json=json)
    if not tails:
        print(f"logs: {NOTHING_RUNS.format(data=data_dir)}", file=sys.stderr)
        raise typer.Exit(1)
    try:
        screen.show(tails.history(), newest=lines)
        while follow and is_held(data_dir):
            time.sleep(LOOK_SECONDS)
            screen.show(tails.read())
        if follow:
            screen.show(tails.read())
            print(f"logs: {NOTHING_RUNS.format(data=data_dir)} (this is what it said last)", file=sys.stderr)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        tails.close()


if __name__ == "__main__":
    typer.run(logs)
