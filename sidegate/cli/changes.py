"""What differs between two moments of the past, resource by resource, field by field."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from sidegate.api.events.v1.history_pb2 import ResourceState
from sidegate.cli import facts
from sidegate.cli.facts import Json
from sidegate.cli.outcome import Exit, printable
from sidegate.cli.past import Past, resource_of
from sidegate.cli.view import View, table

TITLES = ("kind", "id", "change", "field", "before", "after")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field, by its path, before and after; null where the message that it is in was not set."""

    field: str
    before: Json
    after: Json

    @property
    def facts(self) -> Json:
        return {"field": self.field, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class Change:
    """A resource that is not the same at both moments; `change` is made, gone or changed."""

    kind: str
    id: str
    change: str
    fields: Sequence[FieldChange]

    @property
    def facts(self) -> Json:
        fields: list[Json] = [each.facts for each in self.fields]
        return {"kind": self.kind, "id": self.id, "change": self.change, "fields": fields}

    @property
    def rows(self) -> Iterator[Sequence[str]]:
        head = [self.kind, self.id, self.change]
        if not self.fields:
            yield [*head, "", "", ""]
        for number, each in enumerate(self.fields):
            shown = head if number == 0 else [""] * len(head)
            yield [*shown, each.field, _said(each.before), _said(each.after)]


def changes(before: Past, after: Past) -> list[Change]:
    """In the order of the later moment, then what is gone."""
    keys = [*after.states, *(key for key in before.states if key not in after.states)]
    found = (_change(*key, before.states.get(key), after.states.get(key)) for key in keys)
    return [change for change in found if change is not None]


def view(before: Past, after: Past) -> View:
    """Whether both moments are the same; the exit code says so too."""
    found = changes(before, after)
    told: dict[str, Json] = {
        "from": before.places,
        "to": after.places,
        "equal": not found,
        "changes": [change.facts for change in found],
    }
    return View(told, lambda _: _text(before, after, found), Exit.NO if found else Exit.OK)


def _text(before: Past, after: Past, found: Sequence[Change]) -> RenderableType:
    places = f"from {before.where} to {after.where}"
    if not found:
        return Text(f"{places}: nothing differs")
    told = Text(f"{places}: {len(found)} differ")
    return Group(told, "", table(TITLES, [row for change in found for row in change.rows]))


def _change(kind: str, id_: str, before: ResourceState | None, after: ResourceState | None) -> Change | None:
    old, new = _fields(before), _fields(after)
    differing = [FieldChange(name, old.get(name), new.get(name)) for name in _names(old, new)]
    fields = [each for each in differing if each.before != each.after]
    if before is None or after is None:
        return Change(kind, id_, "made" if before is None else "gone", [each for each in fields if _said_at_all(each)])
    return Change(kind, id_, "changed", fields) if fields else None


def _fields(state: ResourceState | None) -> dict[str, Json]:
    return {} if state is None else dict(_flat("", facts.of(resource_of(state))))


def _names(old: dict[str, Json], new: dict[str, Json]) -> list[str]:
    return list(dict.fromkeys([*new, *old]))


def _flat(prefix: str, value: Json) -> Iterator[tuple[str, Json]]:
    """The fields of messages within messages by their paths; lists are compared whole."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, each)
    else:
        yield prefix, value


def _said_at_all(each: FieldChange) -> bool:
    return any(side not in (None, "", [], 0, False) for side in (each.before, each.after))


def _said(value: Json) -> str:
    match value:
        case None:
            return "-"
        case list():
            return ", ".join(_said(each) for each in value) or "-"
        case dict():
            return " ".join(f"{name} {_said(each)}" for name, each in value.items() if each not in ("", None, []))
        case bool():
            return "yes" if value else "no"
        case _:
            return printable(str(value)) or "-"
