"""What was there, gathered from the logs that know it, and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sidegate.api.events.v1.history_pb2 import ResourceState, StateHeader
from sidegate.cli import facts, tables, words
from sidegate.cli.differences import Key, resource_of
from sidegate.cli.facts import Json
from sidegate.cli.outcome import Complaint, Exit
from sidegate.cli.parsing import Place
from sidegate.cli.session import Session
from sidegate.cli.view import View, table
from sidegate.resources.history import LOGS, State, When
from sidegate.resources.logs import LogName

TITLES = ("kind", "id", "what", "made at", "changed at")
TOLD = ("name", "address", "cidr", "cidrs", "cell", "state")
UNTOLD = ("version", "generation", "marker_id", "admission", "vpc_id", "service_id", "endpoint_id")


@dataclass(frozen=True, slots=True)
class Scope:
    """Of what: exactly one is given. A project may be of one `log` only."""

    resource: tuple[str, str] | None = None
    project: tuple[str, str] | None = None
    cell: str = ""
    log: LogName | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What was there, and the place of each log that it is true for."""

    headers: Sequence[StateHeader]
    states: Mapping[Key, ResourceState]

    @property
    def places(self) -> list[Json]:
        return list(map(facts.of, self.headers))

    @property
    def where(self) -> str:
        return ", ".join(f"{header.log} log at position {header.position}{_since(header)}" for header in self.headers)


async def gather(session: Session, scope: Scope, place: Place) -> Past:
    """Asks each log that has anything of it. Raises Complaint for a position without its log."""
    found = [await _ask(session, scope, log, place) for log in _logs(scope, place)]
    states = {(each.kind, each.id): each for state in found for each in state.states}
    return Past([state.header for state in found], states)


def _logs(scope: Scope, place: Place) -> Sequence[LogName]:
    if scope.project is None:
        owner = LogName.ENDPOINT if scope.resource is None else LOGS.get(scope.resource[0], LogName.REGISTRY)
        if scope.log not in (None, owner):
            raise Complaint(f"that is in the {owner} log", Exit.USAGE, f"leave --log out, or give --log {owner}")
        return [owner]
    if place.position and scope.log is None:
        way_out = "give --log registry or --log endpoint with a position, or a moment"
        raise Complaint("a position is one of one log, and a project is in both", Exit.USAGE, way_out)
    return [scope.log] if scope.log else list(LogName)


async def _ask(session: Session, scope: Scope, log: LogName, place: Place) -> State:
    history, when = session.sidegate.history, When(place.position, place.time)
    if scope.resource is not None:
        return await history.resource(*scope.resource, when)
    if scope.project is not None:
        return await history.project(log, *scope.project, when)
    return await history.cell(scope.cell, when)


def view(past: Past, scope: Scope) -> View:
    """One resource whole; of a project or a cell a table. Raises Complaint where the resource was not there."""
    told: dict[str, Json] = {"at": past.places, "resources": [_facts(state) for state in past.states.values()]}
    if scope.resource is None:
        rows = [_row(state) for state in past.states.values()]
        remark = past.where if rows else f"nothing was there: {past.where}"
        return View(told, lambda _: table(TITLES, rows) if rows else None, remark=remark)
    if not past.states:
        raise Complaint(f"{'/'.join(scope.resource)} was not there: {past.where}", Exit.NOT_THERE)
    (state,) = past.states.values()
    return View(told, tables.resource(resource_of(state)).text, remark=past.where)


def _facts(state: ResourceState) -> Json:
    return {
        "kind": state.kind,
        "id": state.id,
        "created_position": state.created_position,
        "position": state.position,
        "resource": facts.of(resource_of(state)),
    }


def _row(state: ResourceState) -> Sequence[str]:
    made, changed = str(state.created_position), str(state.position)
    return (state.kind, state.id, _what(state), made, changed)


def _what(state: ResourceState) -> str:
    message, whole = resource_of(state), state.HasField("entry")
    names = [field.name for field in message.DESCRIPTOR.fields]
    chosen = [name for name in names if (name not in UNTOLD if whole else name in TOLD)]
    return ", ".join(f"{name} {said}" for name in chosen if (said := words.field(message, name)))


def _since(header: StateHeader) -> str:
    return f" ({words.moment(header.time.ToNanoseconds())})" if header.HasField("time") else ""
