"""`make scenario NAME=three-vpcs`: a scenario to watch. Without NAME: which there are."""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sidegate.errors import SidegateError
from tests.support.program import free_port
from tests.support.standalone import Standalone
from tests.system.scenarios.catalogue import SCENARIOS
from tests.system.scenarios.record import Progress, Record, Screen
from tests.system.scenarios.scenario import Scenario, play
from tests.system.scenarios.stage import Stage, told_of_dns

EXAMPLES = """\
examples:
  make scenario
  make scenario NAME=three-vpcs
  make -s scenario NAME=three-vpcs ARGS=--json > seen.json
  make scenario NAME=three-vpcs ARGS="--picture docs/topology.svg"

exit codes: 0 it went as it should, 1 it did not, 2 the command line is wrong, or this is not root, 130 Ctrl-C
"""


def main() -> int:
    chosen = arguments()
    if chosen.verb == "list":
        print("\n".join(f"{scenario.name:<20} {scenario.title}" for scenario in SCENARIOS.values()))
        return 0
    if os.geteuid() != 0:
        print("a scenario needs root: it makes network namespaces (try: sudo make scenario NAME=...)", file=sys.stderr)
        return 2
    record = Progress() if chosen.json else Screen()
    code = perform(SCENARIOS[chosen.name], record, chosen.picture)
    if chosen.json:
        print(json.dumps({**record.as_data(), "ok": code == 0}, ensure_ascii=False, indent=2))
    return code


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.system.scenarios",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="say which there are")
    run = verbs.add_parser("run", help="play one, and leave nothing behind")
    run.add_argument("name", choices=SCENARIOS, metavar="NAME", help=", ".join(SCENARIOS))
    run.add_argument("--json", action="store_true", help="what was seen as JSON at the end; where it is, on stderr")
    run.add_argument("--picture", metavar="FILE", help="have `sidegate topology` draw it at its end (SVG)")
    return parser.parse_args()


def perform(scenario: Scenario[Any], record: Record, picture: str | None) -> int:
    try:
        asyncio.run(performance(scenario, record, picture))
    except (KeyboardInterrupt, asyncio.CancelledError):
        record.failed("stopped; nothing is left behind")
        return 130
    except (AssertionError, SidegateError) as error:
        record.failed(words(error))
        return 1
    return 0


async def performance(scenario: Scenario[Any], record: Record, picture: str | None) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    record.open(scenario.name, scenario.title, scenario.drawing)
    record.step("Sidegate starts: every program of it, on this machine.")
    with tempfile.TemporaryDirectory(prefix="sidegate-scenario-") as directory:
        place, port = Path(directory), free_port()
        async with (
            Standalone(place, *told_of_dns(port), http=True) as sidegate,
            Stage(sidegate, record, place, dns_port=port) as stage,
        ):
            await play(scenario, stage, drawn(picture))


def drawn(picture: str | None) -> Callable[[Stage], Awaitable[None]]:
    """What has the running system draw itself, and into a file where one is named."""

    async def draw(stage: Stage) -> None:
        stage.record.drawn(await topology(stage))
        if picture:
            await topology(stage, "--svg", picture)
            stage.tell(f"the same as a picture: {picture}")

    return draw


async def topology(stage: Stage, *arguments: str) -> str:
    """What `sidegate topology` says."""
    done = await asyncio.to_thread(stage.sidegate.cli, "topology", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def words(error: Exception) -> str:
    """What it says; the line that it comes from where it says nothing."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return str(error) or f"{Path(where.filename).name}:{where.lineno}: {where.line}"


if __name__ == "__main__":
    sys.exit(main())
