"""What differs between two moments of the past, resource by resource, field by field."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from sidegate.cli.differences import Change, differences
from sidegate.cli.facts import Json
from sidegate.cli.outcome import Exit, printable
from sidegate.cli.past import Past
from sidegate.cli.view import View, table

TITLES = ("kind", "id", "change", "field", "before", "after")


def changes(before: Past, after: Past) -> list[Change]:
    """In the order of the later moment, then what is gone."""
    return differences(before.states, after.states)


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
    return Group(told, "", table(TITLES, [row for change in found for row in _rows(change)]))


def _rows(change: Change) -> Iterator[Sequence[str]]:
    head = [change.kind, change.id, change.change]
    if not change.fields:
        yield [*head, "", "", ""]
    for number, each in enumerate(change.fields):
        shown = head if number == 0 else [""] * len(head)
        yield [*shown, each.field, said(each.before), said(each.after)]


def said(value: Json) -> str:
    match value:
        case None:
            return "-"
        case list():
            return ", ".join(said(each) for each in value) or "-"
        case dict():
            return " ".join(f"{name} {said(each)}" for name, each in value.items() if each not in ("", None, []))
        case bool():
            return "yes" if value else "no"
        case _:
            return printable(str(value)) or "-"
