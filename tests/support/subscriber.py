"""The example subscriber as a program of its own, and what its table must say."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from services.common.clock import now
from services.common.eventsourcing.store import RecordedEvent
from services.common.identity.nats import rights
from services.common.messaging.views import ViewsOf
from services.common.principal import Principal
from services.registry.application.credentials import SECOND
from services.registry.domain.credential import Credential
from services.registry.subscribers import Subscribers
from sidegate.nkeys import KeyPair, Role, UserCredential
from tests.support import identity
from tests.support.nats import Nats, connected

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 40.0

Resources = dict[str, dict[str, Any]]


class Subscriber:
    def __init__(self, directory: Path, url: str, owner: Principal, credential: Path) -> None:
        self._table, self._output = directory / f"{owner.project}.json", directory / f"{owner.project}.out"
        self._arguments = [url, str(credential), str(self._table)]
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

    async def ended(self) -> None:
        """Waits until it has ended by itself."""
        assert self._process is not None
        assert await asyncio.to_thread(self._process.wait, DEADLINE) == 1
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


@dataclass
class Admitted:
    """Owners who have a credential, whoever gave it to them."""

    directory: Path
    credentials: list[Credential] = field(default_factory=list)
    changed: Callable[[], None] = lambda: None

    async def all(self) -> list[Credential]:
        return self.credentials

    def admit(self, owner: Principal, lasts: int = 3600) -> Path:
        """The file of a new credential of the owner's."""
        key, at = KeyPair.new(Role.USER), now()
        made = Credential(str(uuid4()), owner, key.public, at, at + lasts * SECOND)
        self.credentials.append(made)
        self.changed()
        file = self.directory / f"{owner.account}-{owner.project}-{made.id}.creds"
        jwt = identity.office().user(key.public, made.id, made.expires_at // SECOND)
        file.write_text(UserCredential(jwt, key).text)
        return file

    def revoke(self, file: Path) -> None:
        name = UserCredential.parse(file.read_text()).name
        made = next(each for each in self.credentials if rights.subscriber(each.id) == name)
        self.credentials[self.credentials.index(made)] = replace(made, revoked_at=now())
        self.changed()


@asynccontextmanager
async def admitting(nats: Nats, directory: Path) -> AsyncIterator[Admitted]:
    """Lets subscribers of whoever is admitted in, as the registry does."""
    admitted = Admitted(directory)
    async with connected(nats, "registry", identity.nats_user("registry")) as connection:
        subscribers = Subscribers(admitted, identity.office())
        subscribers.look = 0.1
        admitted.changed = subscribers.nudge
        task = asyncio.create_task(subscribers.run(connection))
        try:
            yield admitted
        finally:
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


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
