"""On what conditions writes are done: only tried, or only where the thing is still as it was read."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from google.protobuf.message import Message

from sidegate.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Conditions:
    validate_only: bool = False
    etag: str = ""


NONE = Conditions()
_CURRENT: ContextVar[Conditions] = ContextVar("conditions", default=NONE)


def current() -> Conditions:
    return _CURRENT.get()


@contextmanager
def under(*, validate_only: bool = False, etag: str = "") -> Iterator[None]:
    """Writes of this block are only validated: everything is checked, and nothing is changed or remembered.

    With an `etag`, they are done only where what they change still has it; what has none of its own is refused.
    """
    before = _CURRENT.set(Conditions(validate_only, etag))
    try:
        yield
    finally:
        _CURRENT.reset(before)


def impose(request: object) -> None:
    """Says so in a write. Raises InvalidRequest where its request takes no etag."""
    conditions = current()
    if not isinstance(request, Message):
        raise TypeError("a write is asked for by a message")
    if conditions.validate_only:
        request.validate_only = True  # type: ignore[attr-defined] # every write has it
    if conditions.etag:
        _taker(request).etag = conditions.etag  # type: ignore[attr-defined] # that is what it was looked for by


def _taker(request: Message) -> Message:
    """The request, or the resource in it."""
    nested = [getattr(request, field.name) for field, _ in request.ListFields() if field.message_type is not None]
    for candidate in (request, *nested):
        if isinstance(candidate, Message) and "etag" in candidate.DESCRIPTOR.fields_by_name:
            return candidate
    raise InvalidRequest(f"{request.DESCRIPTOR.name} takes no etag", reason="NO_ETAG")
