"""`sidegate replay`: what was there at any moment, and what differs between two."""

import re
from typing import Annotated

import typer

from sidegate.cli import changes, parsing, past
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.parsing import Place
from sidegate.cli.past import Scope
from sidegate.cli.session import Session
from sidegate.cli.view import View
from sidegate.resources.logs import LogName

RESOURCE = re.compile(r"(vpc|subnet|port|attachment|service|route_table|endpoint|connection)/([0-9a-f-]{36})")
PROJECT = re.compile(r"([A-Za-z0-9_-]{1,63})/([A-Za-z0-9_-]{1,63})")


def _pair(pattern: re.Pattern[str], text: str, form: str) -> tuple[str, str]:
    found = pattern.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"{text!r} is not {form}")
    return found[1], found[2]


def _resource(text: str) -> tuple[str, str]:
    return _pair(RESOURCE, text, "KIND/ID, such as endpoint/6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c")


def _project(text: str) -> tuple[str, str]:
    return _pair(PROJECT, text, "ACCOUNT/PROJECT, such as shop/default")


At = Annotated[
    Place | None,
    typer.Option(
        "--at",
        metavar="POSITION|TIME",
        parser=parsing.place,
        help="At this position of the log that owns it, or this moment: 2026-11-23T08:30:00, or 10m, 2h, 1d ago.",
    ),
]
Diff = Annotated[
    tuple[str, str] | None,
    typer.Option("--diff", metavar="A B", help="What differs between two of them; the exit code is 1 where any does."),
]
OfResource = Annotated[str, typer.Option("--resource", metavar="KIND/ID", help="One resource, by kind and whole id.")]
OfProject = Annotated[str, typer.Option("--project", metavar="ACCOUNT/PROJECT", help="All resources of a project.")]
OfCell = Annotated[str, typer.Option("--cell", metavar="CELL", help="A cell's forwarding table.")]
OfLog = Annotated[
    LogName | None, typer.Option("--log", help="Of a project only what is in this log, which positions are then of.")
]


async def replay(
    session: Session,
    at: At = None,
    diff: Diff = None,
    *,
    resource: OfResource = "",
    project: OfProject = "",
    cell: OfCell = "",
    log: OfLog = None,
) -> View:
    """Show a resource, a project or a cell's forwarding table as it was at any moment: your own, or the operator's."""
    scope = _scope(resource, project, cell, log)
    if diff is None:
        return past.view(await past.gather(session, scope, at or Place()), scope)
    if at is not None:
        raise Complaint("--at shows one moment, --diff compares two", Exit.USAGE, "give one of them")
    before, after = [await past.gather(session, scope, parsing.place(each)) for each in diff]
    return changes.view(before, after)


def _scope(resource: str, project: str, cell: str, log: LogName | None) -> Scope:
    if sum(map(bool, (resource, project, cell))) != 1:
        raise Complaint(
            "of what?", Exit.USAGE, "give one of --resource KIND/ID, --project ACCOUNT/PROJECT, --cell CELL"
        )
    return Scope(_resource(resource) if resource else None, _project(project) if project else None, cell, log)
