"""A resource as others are shown it: the fields that are named, and no field that somebody adds later. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)

OURS = "sidegate."


class Allowed:
    """By a message's full name, the fields of it that are shown. A message of ours that is not named shows nothing."""

    def __init__(self, fields: Mapping[str, Iterable[str]]) -> None:
        self.fields = {name: frozenset(allowed) for name, allowed in fields.items()}
        self._plans: dict[str, _Plan] = {}

    def show(self, message: M) -> M:
        """A copy with what may be shown, at every depth."""
        shown = type(message)()
        shown.CopyFrom(message)
        shown.DiscardUnknownFields()
        self._hide(shown)
        return shown

    def _hide(self, message: Message) -> None:
        plan = self._plan(cast("Descriptor", message.DESCRIPTOR))
        for name in plan.hidden:
            message.ClearField(name)
        for name, repeated in plan.inner:
            if repeated:
                for each in getattr(message, name):
                    self._hide(each)
            elif message.HasField(name):
                self._hide(getattr(message, name))

    def _plan(self, kind: Descriptor) -> "_Plan":
        if kind.full_name not in self._plans:
            self._plans[kind.full_name] = self._planned(kind) if kind.full_name.startswith(OURS) else _Plan((), ())
        return self._plans[kind.full_name]

    def _planned(self, kind: Descriptor) -> "_Plan":
        allowed = self.fields.get(kind.full_name, frozenset())
        shown = [field for field in kind.fields if field.name in allowed]
        inner = tuple((field.name, field.is_repeated) for field in shown if field.message_type is not None)
        return _Plan(tuple(field.name for field in kind.fields if field.name not in allowed), inner)


class _Plan(NamedTuple):
    """What to do with a message of a kind: fields to take out, and messages in it to look at; repeated ones or not."""

    hidden: tuple[str, ...]
    inner: tuple[tuple[str, bool], ...]
