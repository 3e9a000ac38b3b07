"""`sidegate credential`: what a project's own programs hear its events with."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Annotated

import typer

from sidegate.api.registry.v1.credential_pb2 import EventsCredential
from sidegate.cli import facts
from sidegate.cli.command import Noun
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.session import Session
from sidegate.cli.view import View, sheet

noun = Noun("credential", "What a project's own programs hear its events with, on NATS.")

SHOWN_ONCE = "its seed is shown this once: keep it in a file that its program alone reads, or use --out"

Credential = Annotated[str, typer.Argument(metavar="CREDENTIAL", help="The credential's id.")]


@noun.write(
    "create",
    "sidegate --account shop credential create --events --out shop.creds",
    "sidegate credential create --events --days 30 -o json",
)
async def create(
    session: Session,
    *,
    events: Annotated[
        bool, typer.Option("--events", help="For the project's view: its services, endpoints and connections.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new file to write it to, for its owner alone.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="How long it is good for.")] = 365,
) -> View:
    """Create a credential: in a file that NATS's clients read, or in the answer."""
    if not events:
        raise typer.BadParameter("say what it is for: --events")
    with _private(out) as file:
        until = datetime.now(UTC) + timedelta(days=days)
        made, credential = await session.sidegate.credentials.create_events(until)
        if file is not None and credential.jwt:
            file.write(credential.text)
    if not credential.jwt:
        return View(facts.of(made), lambda _: sheet({"project": f"{made.account}/{made.project}"}))
    told = {**facts.of(made), **({"file": str(out)} if out else {"credential": credential.text})}
    rows = {"id": made.id, "project": f"{made.account}/{made.project}", "file": str(out or "")}
    return View(told, lambda _: sheet(rows) if out else credential.text, remark="" if out else SHOWN_ONCE)


@noun.verb("list", "sidegate --account shop credential list")
async def list_(session: Session) -> Sequence[EventsCredential]:
    """List the project's credentials, revoked ones too."""
    return [each async for each in session.sidegate.credentials.events()]


@noun.write("revoke", "sidegate credential revoke 5d2c6a10-7b43-4f0e-8f6b-2f6f5c6f8f11", etag=True)
async def revoke(session: Session, credential: Credential) -> EventsCredential:
    """End a credential and its connections, for good."""
    return await session.sidegate.credentials.revoke_events(credential)


@contextmanager
def _private(path: Path | None) -> Iterator[IO[str] | None]:
    """The new file, for its owner alone, made before there is anything to lose; gone again if it stays empty."""
    if path is None:
        yield None
        return
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Complaint(f"cannot write to {path}: {error.strerror}", Exit.REFUSED, "name another file") from error
    try:
        with os.fdopen(opened, "w") as file:
            yield file
    finally:
        if not path.stat().st_size:
            path.unlink()
