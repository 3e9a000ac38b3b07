"""How a program runs: an event loop until SIGTERM or SIGINT, and word to those who wait for it."""

import asyncio
import contextlib
import gc
import json
import signal
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import uvloop

GARBAGE_THRESHOLD = 10_000
"""New objects after which Python looks for cycles. A page of a log is thousands of events, all of them alive: with the
default of 700, looking through them again and again took a third of the time that reading them takes."""

SWITCH_SECONDS = 0.0005
"""How long a thread that wants to go on waits for the one that runs. The log's writer needs the interpreter again after
each of its statements: with the default of 5 ms, a busy event loop made a batch wait for longer than it took."""


class CannotListen(Exception):
    """The address is taken or not this machine's."""


def write_ready(path: Path | None, facts: Mapping[str, Any]) -> None:
    """Writes the ready file as a whole or not at all."""
    if path is None:
        return
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(facts, indent=2) + "\n")
    part.replace(path)


async def _until_signalled(main: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(main)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs until it is done or the program is told to end; cancelling is how the parts are told."""
    gc.freeze()  # what was imported stays: looking for cycles in it takes pauses, and a quarter second at the end
    gc.set_threshold(GARBAGE_THRESHOLD)
    sys.setswitchinterval(SWITCH_SECONDS)
    uvloop.run(_until_signalled(main))
