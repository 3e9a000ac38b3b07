"""What differs between two moments of the past, resource by resource, field by field. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from sidegate.api.events.v1.history_pb2 import ResourceState
from sidegate.cli import facts
from sidegate.cli.facts import Json

Key = tuple[str, str]
"""Kind and id: ids are of one log only."""

States = Mapping[Key, ResourceState]


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


def differences(before: States, after: States) -> list[Change]:
    """In the order of the later moment, then what is gone."""
    keys = [*after, *(key for key in before if key not in after)]
    found = (_change(*key, before.get(key), after.get(key)) for key in keys)
    return [change for change in found if change is not None]


def resource_of(state: ResourceState) -> Message:
    """The resource, or the entry of its kind, that a state is of."""
    found = getattr(state, state.WhichOneof("resource") or "entry")
    entry = found.WhichOneof("entry") if state.HasField("entry") else None
    message = getattr(found, entry) if entry else found
    if not isinstance(message, Message):
        raise TypeError(f"{state.kind} {state.id} has no resource")
    return message


def _change(kind: str, id_: str, before: ResourceState | None, after: ResourceState | None) -> Change | None:
    if before is not None and after is not None and resource_of(before) == resource_of(after):
        return None
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
