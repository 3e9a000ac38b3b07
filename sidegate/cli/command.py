"""From an async function to a command: its options, a session to run in, its answer or its error printed."""

import asyncio
import functools
import inspect
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Concatenate, ParamSpec, TypeVar

import typer
from google.protobuf.message import Message
from rich.markup import escape

from sidegate import conditions, errors, tracing
from sidegate.cli import outcome, tables
from sidegate.cli.groups import spread
from sidegate.cli.session import Session, Settings, session
from sidegate.cli.streaming import Running, print_lines
from sidegate.cli.view import Output, View, show

Answer = View | Message | Sequence[Message]

P = ParamSpec("P")
A = TypeVar("A", bound=Answer)
Verb = Callable[Concatenate[Session, P], Awaitable[A]]
EndlessVerb = Callable[Concatenate[Session, P], Awaitable[Running]]

OutputOption = Annotated[
    Output | None, typer.Option("--output", "-o", help="How to print the answer; also accepted before the noun.")
]

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would come of it: everything is checked, nothing is changed.")
]
EtagOption = Annotated[
    str, typer.Option("--etag", metavar="ETAG", help="Only where it is still as it was read with this etag (-o json).")
]
ONLY_VALIDATED = "only validated: nothing was changed"


class Noun:
    """A noun of the command line and its verbs."""

    def __init__(self, name: str, help: str) -> None:
        self.name = name
        self.app = typer.Typer(name=name, help=help, no_args_is_help=True)

    def part(self, name: str, help: str) -> "Noun":
        """A noun below this one, such as the resolver of a VPC."""
        part = Noun(name, help)
        self.app.add_typer(part.app)
        part.name = f"{self.name} {name}"
        return part

    def verb(self, name: str, *examples: str) -> Callable[[Verb[P, A]], Verb[P, A]]:
        """Makes a function a verb. Its first parameter is the session, the others are the command line's."""

        def register(function: Verb[P, A]) -> Verb[P, A]:
            command = f"sidegate {self.name} {name}"
            program = _as_program(function, command, none=f"no {self.name}s")
            self.app.command(name, epilog=_epilog(examples))(program)
            return function

        return register

    def write(self, name: str, *examples: str, etag: bool = False) -> Callable[[Verb[P, A]], Verb[P, A]]:
        """Makes a function a verb that changes something: it can be only validated, and bound to an `etag`."""

        def register(function: Verb[P, A]) -> Verb[P, A]:
            command, program = f"sidegate {self.name} {name}", _conditional(spread(function), etag=etag)
            self.app.command(name, epilog=_epilog(examples))(_as_program(program, command, none=f"no {self.name}s"))
            return function

        return register

    def endless(self, name: str, *examples: str) -> Callable[[EndlessVerb[P]], EndlessVerb[P]]:
        """Makes a function a verb that prints lines until it is interrupted."""

        def register(function: EndlessVerb[P]) -> EndlessVerb[P]:
            self.app.command(name, epilog=_epilog(examples))(_as_endless(function, f"sidegate {self.name} {name}"))
            return function

        return register


def verb_alone(app: typer.Typer, name: str, *examples: str) -> Callable[[Verb[P, A]], Verb[P, A]]:
    """Makes a function a verb that stands without a noun."""

    def register(function: Verb[P, A]) -> Verb[P, A]:
        app.command(name, epilog=_epilog(examples))(_as_program(function, f"sidegate {name}", none="nothing"))
        return function

    return register


def _conditional(function: Callable[..., Awaitable[Answer]], *, etag: bool) -> Callable[..., Awaitable[Answer]]:
    """The function with the options --dry-run and, where it takes one, --etag."""

    @functools.wraps(function)
    async def conditional(session: Session, *, dry_run: bool, etag: str = "", **arguments: object) -> Answer:
        with conditions.under(validate_only=dry_run, etag=etag):
            answer = await function(session, **arguments)
        return replace(_view(answer, ""), remark=ONLY_VALIDATED) if dry_run else answer

    parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [inspect.Parameter("dry_run", keyword, annotation=DryRunOption, default=False)]
    if etag:
        added.append(inspect.Parameter("etag", keyword, annotation=EtagOption, default=""))
    first, *own = parameters
    own = [each.replace(kind=keyword) for each in own]
    vars(conditional)["__signature__"] = inspect.Signature([first, *own, *added])
    return conditional


def _epilog(examples: Sequence[str]) -> str:
    return "\n".join(["[bold]Examples[/bold]", *(f"$ {escape(example)}" for example in examples)])


def _as_program(function: Callable[..., Awaitable[Answer]], command: str, none: str) -> Callable[..., None]:
    """What typer calls: the function's parameters without the session, and -o."""

    @functools.wraps(function)
    def program(context: typer.Context, output: Output | None, **arguments: object) -> None:
        settings: Settings = context.find_root().obj
        chosen = output or settings.output
        with _traced(settings, chosen):
            answer = asyncio.run(_run(function, settings, command, arguments))
            view = _view(answer, none + (f" in project {settings.project}" if settings.project else ""))
            show(view, chosen, paged=settings.pager)
        raise typer.Exit(view.code)

    return _with_signature(program, function)


def _as_endless(function: Callable[..., Awaitable[Running]], command: str) -> Callable[..., None]:
    @functools.wraps(function)
    def program(context: typer.Context, output: Output | None, **arguments: object) -> None:
        settings: Settings = context.find_root().obj
        chosen = output or settings.output

        async def run() -> None:
            async with session(settings, f"{command} ...", endless=True) as opened:
                await print_lines(await function(opened, **arguments), chosen)

        with _traced(settings, chosen):
            asyncio.run(run())

    return _with_signature(program, function)


def _with_signature(program: Callable[..., None], function: Callable[..., object]) -> Callable[..., None]:
    _, *own = inspect.signature(function, eval_str=True).parameters.values()
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_ONLY, annotation=typer.Context)
    output = inspect.Parameter("output", inspect.Parameter.KEYWORD_ONLY, annotation=OutputOption, default=None)
    parameters = [context, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), output]
    vars(program)["__signature__"] = inspect.Signature(parameters)
    program.__annotations__ = {each.name: each.annotation for each in parameters}
    return program


async def _run(
    function: Callable[..., Awaitable[Answer]], settings: Settings, command: str, arguments: dict[str, object]
) -> Answer:
    async with session(settings, f"{command} ...") as opened:
        return await function(opened, **arguments)


def _view(answer: Answer, none: str) -> View:
    match answer:
        case View():
            return answer
        case Message():
            return tables.resource(answer)
        case _:
            return tables.listing(answer, none)


@contextmanager
def _traced(settings: Settings, output: Output) -> Iterator[None]:
    """Names all that the command causes, and ends it with its complaint where it fails."""
    with tracing.begun() as trace_id, _complaining(output, trace_id):
        if settings.verbose:
            sys.stderr.write(f"trace: {trace_id}\n")
        yield


@contextmanager
def _complaining(output: Output, trace_id: str) -> Iterator[None]:
    """Turns what went wrong into a line on stderr, an object for programs, and an exit code."""
    try:
        yield
    except errors.SidegateError as error:
        complaint = outcome.complaint_of(error)
    except outcome.Complaint as error:
        complaint = error
    except UnicodeEncodeError as error:
        complaint = outcome.Complaint(f"{error.object!r} is not text in UTF-8", outcome.Exit.USAGE)
    except KeyboardInterrupt:
        raise typer.Exit(outcome.Exit.INTERRUPTED) from None
    else:
        return
    if output is Output.JSON:
        sys.stderr.write(json.dumps(outcome.facts(complaint, trace_id)) + "\n")
    else:
        complain(complaint)
    raise typer.Exit(complaint.code)


def complain(complaint: outcome.Complaint) -> None:
    sys.stderr.writelines(f"{line}\n" for line in outcome.lines(complaint))
