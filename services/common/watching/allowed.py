"""A resource as others are shown it: the fields that are named, and no field that somebody adds later. Pure."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)

OURS = "sidegate."


class Allowed:
    """By a message's full name, the fields of it that are shown. A message of ours that is not named shows nothing."""

    def __init__(self, fields: Mapping[str, Iterable[str]]) -> None:
        self.fields = {name: frozenset(allowed) for name, allowed in fields.items()}

    def show(self, message: M) -> M:
        """A copy with what may be shown, at every depth."""
        name = message.DESCRIPTOR.full_name
        shown = type(message)()
        if not name.startswith(OURS):
            shown.CopyFrom(message)
            return shown
        allowed = self.fields.get(name, frozenset())
        for field, value in message.ListFields():
            if field.name in allowed:
                self._copy(shown, field.name, value)
        return shown

    def _copy(self, shown: Message, name: str, value: object) -> None:
        match value:
            case Message():
                getattr(shown, name).CopyFrom(self.show(value))
            case str() | bytes() | int() | float():
                setattr(shown, name, value)
            case Iterable():
                getattr(shown, name).extend(self.show(each) if isinstance(each, Message) else each for each in value)
