"""What a reachability test answers: a line for each step, and for the service's owner one for each backend."""

from google.protobuf.message import Message
from rich.console import Group, RenderableType

from sidegate.api.endpoint.v1.reachability_pb2 import TestConnectionResponse, TestEndpointResponse
from sidegate.cli import facts, words
from sidegate.cli.outcome import Exit
from sidegate.cli.view import View, table

STEP, BACKEND = ("subject", "outcome", "message"), ("address", "port", "protocol", "outcome")


def view(tested: TestEndpointResponse | TestConnectionResponse) -> View:
    """The exit code says whether packets pass."""
    return View(facts.of(tested), lambda _: _drawn(tested), Exit.OK if tested.reachable else Exit.NO)


def _drawn(tested: TestEndpointResponse | TestConnectionResponse) -> RenderableType:
    steps = table(("step", "outcome", "what was found"), [_row(step, STEP) for step in tested.steps])
    if not isinstance(tested, TestConnectionResponse) or not tested.backends:
        return steps
    backends = [_row(backend, BACKEND) for backend in tested.backends]
    return Group(steps, "", table(("backend", "port", "protocol", "found"), backends))


def _row(message: Message, names: tuple[str, ...]) -> list[str]:
    return [words.field(message, name) for name in names]
