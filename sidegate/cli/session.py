"""One run of a command: who asks, where Sidegate is, a client when one is needed, and word of what takes long."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rich.console import Console
from rich.status import Status

from sidegate.cli import config
from sidegate.cli.config import Addresses
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.view import Output
from sidegate.client import Client
from sidegate.resources.gateways import Gateway
from sidegate.transport import DEFAULT_TIMEOUT_SECONDS

PATIENCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options before the noun say. An empty account or project is the credential's own."""

    account: str
    project: str
    output: Output
    credential: Path | None = None
    config: Path | None = None
    data_dir: Path | None = None
    verbose: bool = False
    pager: bool = True


def client_of(
    found: Addresses, credential: Path | None, account: str, project: str, timeout: float = DEFAULT_TIMEOUT_SECONDS
) -> Client:
    """A client of the Sidegate that was found. A credential that cannot be read is a Complaint, once one is needed."""
    return Client(
        found.registry,
        found.endpoint,
        found.gateway,
        found.http_api,
        found.console,
        credential=lambda: config.credential_of(found, credential),
        ca=found.ca,
        account=account,
        project=project,
        timeout=timeout,
    )


class Session:
    """What a verb works with."""

    def __init__(self, settings: Settings, status: Status) -> None:
        self.settings, self._status = settings, status

    @cached_property
    def sidegate(self) -> Client:
        """The client; made when it is first needed, since not every command calls."""
        settings = self.settings
        return client_of(self.addresses, settings.credential, settings.account, settings.project)

    @property
    def gateway(self) -> Gateway:
        """The gateway of this machine. Raises Complaint where none runs."""
        if not self.addresses.gateway:
            because = self.addresses.no_gateway_because or "its ready file names no socket"
            raise Complaint(f"this Sidegate runs no gateway: {because}", Exit.UNAVAILABLE)
        return self.sidegate.gateway

    def programs(self) -> dict[str, str]:
        """Addresses of the programs that this Sidegate has, by name."""
        found = self.addresses
        named = {
            "registry": found.registry,
            "endpoint": found.endpoint,
            "http_api": found.http_api,
            "console": found.console,
            "gateway": found.gateway,
        }
        return {name: address for name, address in named.items() if address}

    @cached_property
    def addresses(self) -> Addresses:
        settings = self.settings
        return config.read(config.locate(settings.config, settings.data_dir, os.environ))

    def tell(self, text: str) -> None:
        """Says what is being done, to a person who has been waiting for more than a second."""
        self._status.update(text)

    def progress(self, text: str, done: int, total: int) -> None:
        """How far something has come; told as `tell` does."""
        self.tell(f"{text}: {done:,} of {total:,}, {done * 100 // max(total, 1)}% ...")

    async def close(self) -> None:
        if "sidegate" in vars(self):
            await self.sidegate.close()


@asynccontextmanager
async def session(settings: Settings, doing: str, *, endless: bool = False) -> AsyncIterator[Session]:
    console = Console(file=sys.stderr)
    status = Status(doing, console=console)
    loop = asyncio.get_running_loop()
    begin = loop.call_later(PATIENCE_SECONDS, status.start) if console.is_terminal and not endless else None
    opened = Session(settings, status)
    try:
        yield opened
    finally:
        if begin:
            begin.cancel()
        status.stop()
        await opened.close()
