"""The `sidegate` command: its global options, its nouns, and the last word on what nobody expected."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from sidegate.cli import keys, outcome
from sidegate.cli.command import Noun, complain, verb_alone
from sidegate.cli.health import examine
from sidegate.cli.replay import replay
from sidegate.cli.session import Session, Settings
from sidegate.cli.topology import topology
from sidegate.cli.view import Output, View

NOUNS = (
    "account",
    "key",
    "credential",
    "vpc",
    "subnet",
    "route-table",
    "port",
    "attachment",
    "service",
    "connection",
    "endpoint",
    "gateway",
    "audit",
)
TRACE = "SIDEGATE_TRACE"

EPILOG = "\n".join(
    [
        "[bold]Examples[/bold]",
        "$ sidegate vpc create shop --cidr 10.0.0.0/24",
        "$ sidegate --account payments service list -o json",
        "$ sidegate --data-dir ./data gateway show",
        "",
        "[bold]Exit codes[/bold]",
        *(f"  {code.value}  {meaning}" for code, meaning in outcome.MEANINGS.items()),
    ]
)

app = typer.Typer(name="sidegate", no_args_is_help=True, pretty_exceptions_enable=False, epilog=EPILOG)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata  # noqa: PLC0415 # its import takes as long as a command, for one option

        typer.echo(f"sidegate {metadata.version('sidegate')}")
        raise typer.Exit


@app.callback()
def sidegate(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The file that a running Sidegate wrote when it was ready (JSON); else SIDEGATE_CONFIG names it, "
            "else it is ./data/ready.json.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIRECTORY", help="Read ready.json of this directory.")
    ] = None,
    credential: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="SIDEGATE_CREDENTIAL",
            help="The access key that proves who asks (JSON); else the one that the file of --config holds or names.",
        ),
    ] = None,
    account: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            envvar="SIDEGATE_ACCOUNT",
            help="For which account: the operator may name any, others theirs.",
        ),
    ] = "",
    project: Annotated[
        str, typer.Option(metavar="NAME", envvar="SIDEGATE_PROJECT", help="For which project of it.")
    ] = "",
    output: Annotated[Output, typer.Option("--output", "-o", help="How to print answers.")] = Output.TABLE,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say on stderr the trace id under which programs log the command.")
    ] = False,
    pager: Annotated[
        bool,
        typer.Option("--pager/--no-pager", help="Show what is longer than the terminal in SIDEGATE_PAGER or PAGER."),
    ] = True,
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version, and end.")
    ] = False,
) -> None:
    """Connect a client in one private network to one service in another, and nothing else."""
    context.obj = Settings(account, project, output, credential, config, data_dir, verbose, pager)


def _add(noun: str) -> None:
    found: Noun = import_module(f"sidegate.cli.nouns.{noun.replace('-', '_')}").noun
    app.add_typer(found.app)


for name in NOUNS:
    _add(name)


@verb_alone(app, "health", "sidegate health", "sidegate health -o json")
async def health(session: Session) -> View:
    """Show how every program is doing; the exit code is 1 where one cannot do what it is for, 5 where one is silent."""
    return await examine(session)


verb_alone(
    app,
    "replay",
    "sidegate replay --at 2026-11-23T08:30:00 --project shop/default",
    "sidegate replay --at 42 --resource endpoint/6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c",
    "sidegate replay --diff 1h 5m --cell default",
    "sidegate replay --diff 17 42 --project shop/default --log registry -o json",
)(replay)

verb_alone(
    app,
    "topology",
    "sidegate topology",
    "sidegate topology --svg topology.svg",
    "sidegate --account shop topology --vpc main --format dot",
    "sidegate topology -o json",
)(topology)


@verb_alone(app, "whoami", "sidegate whoami", "sidegate --account shop whoami -o json")
async def whoami(session: Session) -> View:
    """Show for whom commands are, what they may do, and which access key proves it."""
    return keys.identity(await session.sidegate.accounts.who_am_i())


def run() -> None:
    """The program: no traceback reaches a user, unless SIDEGATE_TRACE asks for it."""
    try:
        app()
    except Exception as error:
        if os.environ.get(TRACE):
            raise
        text = f"{type(error).__name__}: {error}"
        complain(outcome.Complaint(text, outcome.Exit.UNAVAILABLE, f"this is a fault of ours; {TRACE}=1 shows where"))
        sys.exit(outcome.Exit.UNAVAILABLE)
