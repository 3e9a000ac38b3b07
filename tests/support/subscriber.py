"""The example subscriber as a program of its own, and what its table must say."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from services.common.eventsourcing.store import RecordedEvent
from services.common.messaging.views import ViewsOf
from services.common.principal import Principal

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 40.0

Resources = dict[str, dict[str, Any]]


class Subscriber:
    def __init__(self, directory: Path, url: str, owner: Principal) -> None:
        self._table, self._output = directory / f"{owner.project}.json", directory / f"{owner.project}.out"
        self._arguments = [url, owner.account, owner.project, str(self._table)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._output.open("ab") as output:
            command = [sys.executable, str(ROOT / "examples" / "subscriber.py"), *self._arguments]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self._process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    async def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(self._process.wait, DEADLINE)
            self._process = None

    @property
    def said(self) -> str:
        return self._output.read_text() if self._output.exists() else ""

    @property
    def table(self) -> Any:
        return json.loads(self._table.read_text()) if self._table.exists() else {}

    @property
    def resources(self) -> Resources:
        """What it knows of all resources, of both streams."""
        return {key: value for each in self.table.values() for key, value in each["resources"].items()}

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                assert self._process is not None
                assert self._process.poll() is None, self.said
                await asyncio.sleep(0.02)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()


def expected(owner: Principal, logs: Sequence[tuple[Sequence[RecordedEvent], ViewsOf]]) -> Resources:
    """What the logs say of the project's resources, each change counted once."""
    found: Resources = {}
    beginning = f"sidegate.v1.{owner.account}~{owner.project}."
    for events, views_of in logs:
        for event in events:
            for viewed in views_of(event):
                if viewed.subject.startswith(beginning):
                    key = viewed.subject.removeprefix(beginning).replace(".", "/")
                    changes = found.get(key, {"changes": 0})["changes"] + 1
                    about = {"what": viewed.view.what, "deleted": viewed.view.deleted, "position": event.position}
                    found[key] = {**about, "changes": changes}
    return found
