"""The past in words: rows of what was there, of a forwarding table, and of what differs. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.console.pages import states
from services.console.pages.states import State
from services.console.past.moments import Moment
from services.console.past.picturing import as_then
from sidegate.api.events.v1.history_pb2 import ResourceState
from sidegate.cli import facts
from sidegate.cli.differences import Key, differences, resource_of
from sidegate.cli.facts import Json

LISTED = 200
"""Rows of what was there, and changes, that a page has at most."""

NAMED = ("name", "address", "cidr", "holder", "cell")
UNSAID = frozenset({"etag", "version", "update_time", "generation"})
"""Fields that change with every change, and say nothing of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A resource, or an entry of a forwarding table. `state` is None for what has none."""

    kind: str
    id: str
    name: str
    state: State | None = None
    about: str = ""


def rows(moment: Moment) -> Sequence[Row]:
    return [_row(state) for state in list(moment.states.values())[:LISTED]]


def _row(state: ResourceState) -> Row:
    resource = resource_of(state)
    owner = f"{getattr(resource, 'account', '')}/{getattr(resource, 'project', '')}"
    return Row(state.kind, state.id, _name(state), _state(state), owner.strip("/"))


def _name(state: ResourceState) -> str:
    resource = resource_of(state)
    return next((said for each in NAMED if (said := str(getattr(resource, each, "")))), "")


def _state(state: ResourceState) -> State | None:
    match state.WhichOneof("resource"):
        case "endpoint":
            return states.of(as_then(state.endpoint))
        case "connection":
            return states.of(state.connection)
        case "service":
            return states.of(state.service)
        case _:
            return None


def entries(table: Mapping[Key, ResourceState]) -> Iterator[Row]:
    """Of a forwarding table: what gateways need of each thing."""
    for state in table.values():
        said = facts.of(resource_of(state))
        told = [f"{name} {_said(value)}" for name, value in said.items() if _is_told(name, value)]
        yield Row(state.kind, state.id, "", about=", ".join(told))


def _is_told(name: str, value: Json) -> bool:
    return value not in (None, "", [], 0, False) and name not in ("version", "vpc_id", "service_id", "endpoint_id")


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """`change` is made, gone or changed."""

    kind: str
    id: str
    name: str
    change: str
    fields: Sequence[Field]


def difference(before: Mapping[Key, ResourceState], after: Mapping[Key, ResourceState]) -> Sequence[Difference]:
    found = []
    for each in differences(before, after):
        fields = [
            Field(one.field, _said(one.before), _said(one.after)) for one in each.fields if one.field not in UNSAID
        ]
        if fields or each.change != "changed":
            state = after.get((each.kind, each.id)) or before[each.kind, each.id]
            found.append(Difference(each.kind, each.id, _name(state), each.change, fields))
    return found


def cells_of(moment: Moment) -> Iterable[str]:
    return sorted({state.attachment.cell for state in moment.states.values() if state.HasField("attachment")})


def _said(value: Json) -> str:
    match value:
        case None:
            return "–"
        case list():
            return ", ".join(map(_said, value)) or "–"
        case dict():
            return " ".join(f"{name} {_said(each)}" for name, each in value.items() if each not in ("", None, [], 0))
        case bool():
            return "✓" if value else "–"
        case _:
            return str(value) or "–"
